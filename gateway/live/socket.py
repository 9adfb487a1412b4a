"""Decides how the graph is spoken to over a WebSocket: graphql-transport-ws, as its protocol document has it."""

import asyncio
import logging
from contextlib import aclosing, suppress
from typing import Any

import msgspec
from fastapi import WebSocket, WebSocketDisconnect
from graphql import OperationType

from gateway.answering import Caller, Ready, answer, caller_of, charge, failed, ready
from gateway.asking import Wrong, asked_of
from gateway.execution.limits import MAX_BYTES
from gateway.failures import GraphFailure
from gateway.live.hearing import Guest, let_go
from gateway.live.rules import End
from gateway.live.subscribing import subscribed

log = logging.getLogger("mops.live")

SUBPROTOCOL = "graphql-transport-ws"
INIT_SECONDS = 10.0
# Of one socket, at a time.
MOST_OPERATIONS = 100
# Beside the document and its variables, what wraps them.
MOST_BYTES = MAX_BYTES + 1_000
# As a frame has room for it.
LONGEST_REASON_BYTES = 120

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


class Close(Exception):
    """The conversation ends, with a code of the protocol's."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason.encode()[:LONGEST_REASON_BYTES].decode(errors="ignore")


class Conversation:
    """One socket: its operations, each a task of its own."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._state = socket.app.state
        self._request_id: str = socket.state.request_id
        # By what the other side calls them; one that has ended is in the tasks alone until that is said.
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until either side ends it."""
        try:
            if SUBPROTOCOL not in self._socket.scope["subprotocols"]:
                await self._socket.accept()
                raise Close(4406, "Subprotocol not acceptable")
            await self._socket.accept(SUBPROTOCOL)
            caller = await self._initiated()
            async with self._state.hearing.guest(caller.principal) as guest:
                await self._send({"type": "connection_ack", "payload": {"cursor": guest.cursor}})
                await self._converse(guest, caller)
        except Close as close:
            with suppress(WebSocketDisconnect, RuntimeError):
                await self._socket.close(close.code, close.reason)
        except GraphFailure as problem:  # too many of this client's
            with suppress(WebSocketDisconnect, RuntimeError):
                await self._socket.close(1013, str(problem))
        except WebSocketDisconnect:
            pass

    async def _initiated(self) -> Caller:
        try:
            async with asyncio.timeout(INIT_SECONDS):
                message = await self._receive()
                while message["type"] in ("ping", "pong"):
                    await self._ping(message)
                    message = await self._receive()
        except TimeoutError:
            raise Close(4408, "Connection initialisation timeout") from None
        if message["type"] == "subscribe":
            raise Close(4401, "Unauthorized")
        if message["type"] != "connection_init":
            raise Close(4400, f"{message['type']} before connection_init")
        sent = message.get("payload") or {}
        if not isinstance(sent, dict):
            raise Close(4400, "the payload of connection_init is an object")
        named = (value for name, value in sent.items() if name.lower() == "authorization")
        token = next(named, None) or self._socket.headers.get("authorization", "")
        return await self._caller(str(token))

    async def _caller(self, authorization: str) -> Caller:
        try:
            return await caller_of(self._state, authorization)
        except Wrong as wrong:
            raise Close(1013 if wrong.status == 503 else 4403, wrong.errors[0]["message"]) from None

    async def _converse(self, guest: Guest, caller: Caller) -> None:
        try:
            await guest.stay(self._listen(guest, caller))
        finally:
            await let_go(list(self._tasks))
        if guest.ended.done():
            why = guest.ended.result()
            raise Close(why.close, why.words)

    async def _listen(self, guest: Guest, caller: Caller) -> None:
        while True:
            message = await self._receive()
            match message["type"]:
                case "subscribe":
                    self._subscribe(guest, caller, message)
                    # Who doesn't read how those end that are too many is asked for nothing more until they do.
                    while len(self._tasks) > 2 * MOST_OPERATIONS:
                        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                case "complete":
                    if task := self._operations.pop(_id_of(message), None):
                        task.cancel()
                case "ping" | "pong":
                    await self._ping(message)
                case "connection_init":
                    raise Close(4429, "Too many initialisation requests")
                case other:
                    raise Close(4400, f"{other} isn't a message that is taken here")

    def _subscribe(self, guest: Guest, caller: Caller, message: dict[str, Any]) -> None:
        name, payload = _id_of(message), message.get("payload")
        if not isinstance(payload, dict):
            raise Close(4400, "subscribe has a payload")
        if name in self._operations:
            raise Close(4409, f"Subscriber for {name} already exists")
        self._operations[name] = task = asyncio.create_task(self._operate(guest, caller, name, payload))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _operate(self, guest: Guest, caller: Caller, id: str, payload: dict[str, Any]) -> None:
        """Answers one operation. Whatever is wrong with it ends it, and the others go on."""
        try:
            if len(self._operations) > MOST_OPERATIONS:
                raise GraphFailure(
                    "TOO_MANY_OPERATIONS", f"a socket has {MOST_OPERATIONS} operations at a time at most"
                )
            await self._caller(caller.authorization)
            what = ready(self._state, asked_of(payload))
            charge(self._state, caller, what.cost)
            await self._answer(guest, caller, id, what)
        except Close as close:
            guest.end(End("ENDED", close.reason, close.code))
        except Wrong as wrong:
            await self._end(id, {"type": "error", "payload": wrong.errors})
        except GraphFailure as problem:
            await self._end(id, {"type": "error", "payload": failed(problem).errors})
        except WebSocketDisconnect:
            pass
        except Exception:  # the last resort: it costs this operation, nothing of it is told, and others go on
            log.exception("operation_failed", extra={"request_id": self._request_id})
            await self._end(id, {"type": "error", "payload": failed(GraphFailure("INTERNAL", "internal error")).errors})
        else:
            # Who has to go is told by the socket's end, after which clients come back and subscribe again.
            if not guest.ended.done():
                await self._end(id, {"type": "complete"})

    async def _answer(self, guest: Guest, caller: Caller, id: str, what: Ready) -> None:
        if what.kind is OperationType.SUBSCRIPTION:
            async with aclosing(subscribed(self._state, guest, caller, what, self._request_id)) as answers:
                async for told in answers:
                    await self._send({"id": id, "type": "next", "payload": told.payload})
            return
        answered = await answer(self._state, caller, what, self._request_id)
        if "data" not in answered:
            raise Wrong(None, answered["errors"])
        await self._send({"id": id, "type": "next", "payload": answered})

    async def _end(self, id: str, message: dict[str, Any]) -> None:
        """The id is free again before the other side can know."""
        if self._operations.pop(id, None) is not None:
            await self._send({"id": id, **message})

    async def _ping(self, message: dict[str, Any]) -> None:
        if message["type"] == "ping":
            payload = message.get("payload")
            await self._send({"type": "pong"} if payload is None else {"type": "pong", "payload": payload})

    async def _receive(self) -> dict[str, Any]:
        received = await self._socket.receive()
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code", 1005))
        text = received.get("text")
        if text is None:
            raise Close(4400, "messages are text")
        if len(text) > MOST_BYTES:
            raise Close(1009, f"a message has {MOST_BYTES} characters at most")
        try:
            message = decode(text)
        except (ValueError, RecursionError):
            raise Close(4400, "messages are JSON") from None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise Close(4400, "messages are objects with a type")
        return message

    async def _send(self, message: dict[str, Any]) -> None:
        await self._socket.send_text(encode(message).decode())


def _id_of(message: dict[str, Any]) -> str:
    name = message.get("id")
    if not isinstance(name, str) or not name:
        raise Close(4400, f"{message['type']} has an id")
    return name
