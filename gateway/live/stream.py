"""Decides how an operation is answered as a stream of server-sent events (GraphQL over SSE, distinct connections)."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

import msgspec
from fastapi import Request
from fastapi.responses import Response
from graphql import OperationType
from starlette.types import Receive, Scope, Send

from gateway.answering import Caller, Ready, answer, charge, failed, ready
from gateway.asking import LEGACY, STREAM, Asked, Wrong
from gateway.failures import GraphFailure
from gateway.live.hearing import Guest
from gateway.live.rules import AWAY, LEAVING, End
from gateway.live.subscribing import subscribed

# Proxies hang up on who says nothing for so long.
KEEP_ALIVE_SECONDS = 12.0
FAREWELL_SECONDS = 5.0

encode = msgspec.json.Encoder().encode


async def streamed(request: Request, caller: Caller, asked: Asked) -> Response:
    """The answer, or the answers, as they come. Raises Wrong for what isn't the document's."""
    return Stream(request, caller, asked)


def refuse_changes_by_link(request: Request, what: Ready) -> None:
    if request.method == "GET" and what.kind is OperationType.MUTATION:
        raise Wrong.because(405, "METHOD_NOT_ALLOWED", "only queries go by GET", Allow="POST")


class Stream(Response):
    """One answer after the other, for as long as the caller stays and their token lasts."""

    def __init__(self, request: Request, caller: Caller, asked: Asked) -> None:
        super().__init__(media_type=f"{STREAM}; charset=utf-8")
        del self.headers["content-length"]
        # Nobody on the way may keep it, or hold it back to send more at once.
        self.headers.update({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._request = request
        self._caller = caller
        self._asked = asked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = self._request.app.state
        try:
            async with state.hearing.guest(self._caller.principal) as guest:
                self._request.state.leave = lambda: guest.end(LEAVING)
                self._request.state.lasting = True
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await self._until_the_end(guest, receive, send)
        except GraphFailure as problem:
            status, again = (503, "2") if problem.code == AWAY.code else (429, "60")
            said = encode({"errors": failed(problem).errors})
            await Response(said, status, {"Retry-After": again}, LEGACY)(scope, receive, send)

    async def _until_the_end(self, guest: Guest, receive: Receive, send: Send) -> None:
        async def put(text: bytes, *, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": text, "more_body": more})

        async def tell() -> None:
            # From here on nothing is missed, whether or not anything comes.
            await put(b"id: " + guest.cursor.encode() + b"\n\n")
            async with aclosing(self._events(guest)) as events:
                async for each in events:
                    await put(each)

        async def keep_alive() -> None:
            while True:
                await asyncio.sleep(KEEP_ALIVE_SECONDS)
                await put(b":\n\n")

        async def gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        await guest.stay(tell(), keep_alive(), gone())
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await put(_farewell(guest.ended.result()) if guest.ended.done() else b"", more=False)

    async def _events(self, guest: Guest) -> AsyncGenerator[bytes, None]:
        state, caller, request = self._request.app.state, self._caller, self._request
        try:
            what = ready(state, self._asked)
            refuse_changes_by_link(request, what)
            charge(state, caller, what.cost)
            request_id: str = request.state.request_id
            if what.kind is not OperationType.SUBSCRIPTION:
                yield _next(await answer(state, caller, what, request_id))
            else:
                resume = request.headers.get("last-event-id")
                async with aclosing(subscribed(state, guest, caller, what, request_id, resume)) as answers:
                    async for told in answers:
                        yield _next(told.payload, told.cursor)
                return
        except Wrong as wrong:
            yield _next({"errors": wrong.errors})
        except GraphFailure as problem:
            yield _next({"errors": failed(problem).errors})
        yield COMPLETE


COMPLETE = b"event: complete\ndata:\n\n"


def _next(payload: dict[str, Any], cursor: str | None = None) -> bytes:
    named = b"" if cursor is None else b"id: " + cursor.encode() + b"\n"
    return b"event: next\n" + named + b"data: " + encode(payload) + b"\n\n"


def _farewell(why: End) -> bytes:
    """Says why; who can come back as they are finds the stream broken off, and does."""
    said = _next({"errors": failed(GraphFailure(why.code, why.words)).errors})
    return said + COMPLETE if why.is_final else said
