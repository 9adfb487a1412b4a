"""Decides how a part listens: how long and large a request's head may be, and how a process that is to end does so."""

import gc
import logging
from asyncio import AbstractEventLoop, TimerHandle, Transport
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from chassis.direct import Direct, Headers

HEAD_SECONDS = 10
HEAD_BYTES = 65_536
KEEPALIVE_SECONDS = 5
# Together with what the app needs to close, less than the ten seconds after which a supervisor kills.
FINISH_SECONDS = 6
# How long who listens may take nothing of what was sent, before the connection is cut.
TAKE_SECONDS = 15
# Of one message on a socket.
SOCKET_BYTES = 131_072
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Together:
    """A response's transport that sends the head with what follows in the same turn of the loop, as each write is a
    call of the system, and wakes who reads. The head of a stream whose first part takes longer goes alone."""

    def __init__(self, transport: Transport, loop: AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head: bytes | None = None
        self._is_begun = False

    def write(self, data: bytes) -> None:
        if not self._is_begun:
            self._is_begun, self._head = True, data
            self._loop.call_soon(self._flush)
        elif self._head is not None:
            head, self._head = self._head, None
            self._transport.writelines((head, data))
        else:
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            self._transport.write(head)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Patient(HttpToolsProtocol):
    """uvicorn's protocol with the two limits that it lacks: who connects has so long, and so many bytes, to say what
    they want. The rest of a body that was answered before its end has as long. And with the way past ASGI that
    `chassis.direct` describes, for requests that come in one piece."""

    _in_head = True
    _in_body = False
    _head_bytes = 0
    _deadline: TimerHandle | None = None
    _cut: TimerHandle | None = None
    _receiving = False
    # Whose body may come yet in what is being received.
    _undecided: tuple[RequestResponseCycle, Any] | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        if self._cut is not None:
            self._cut.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self._in_head
        self._receiving = True
        super().data_received(data)
        self._receiving = False
        if self._undecided is not None:
            undecided, self._undecided = self._undecided, None
            if not self.transport.is_closing():
                super()._start_asgi_task(*undecided)
        if before and self._in_head:
            # Not before it was looked at: most heads come whole, and need no timer.
            if self._deadline is None:
                self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(TOO_LARGE)
                self.transport.close()

    def on_headers_complete(self) -> None:
        self._end_head()
        self._in_head, self._in_body = False, True
        super().on_headers_complete()
        if self.cycle is not None:  # as for a WebSocket, which another protocol takes over
            self.cycle.transport = cast(Transport, Together(self.transport, self.loop))

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade() and self._should_upgrade():
            return  # what follows is a socket's
        super().on_message_complete()
        self._in_body = False
        if self._undecided is not None and self._undecided[0] is self.cycle:
            undecided, self._undecided = self._undecided, None
            self._begin(*undecided)
        if self.cycle.response_complete:
            self._await_next()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_body:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)
        elif not self.pipeline:
            self._await_next()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if not cycle.more_body:
            self._begin(cycle, app)
        elif self._receiving:
            self._undecided = cycle, app
        else:
            super()._start_asgi_task(cycle, app)

    def _begin(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Answers a whole request past ASGI, if its part does so; else through the app."""
        direct: Direct | None = getattr(getattr(self.config.app, "state", None), "direct", None)
        scope = cycle.scope
        if (
            direct is None or app is not self.app
            or scope["method"] != "POST" or not scope["path"].startswith(direct.prefix)
            # Who doesn't read what they are answered is waited for there.
            or self.flow.write_paused or cycle.waiting_for_100_continue
            or not direct.take(scope, bytes(cycle.body), lambda *said: self._say(cycle, *said))
        ):  # fmt: skip
            super()._start_asgi_task(cycle, app)

    def _say(self, cycle: RequestResponseCycle, status: int, headers: Headers, body: bytes) -> None:
        """An answer in one write, after which it is with the cycle as after uvicorn's own."""
        if cycle.disconnected:
            return
        said = [STATUS_LINE[status], b"content-length: %d\r\n" % len(body)]
        said += [b"%b: %b\r\n" % each for each in (*cycle.default_headers, *headers)]
        if not cycle.keep_alive:
            said.append(b"connection: close\r\n")
        self.transport.write(b"".join((*said, b"\r\n", body)))
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    def _await_next(self) -> None:
        """The next head's bytes count from here; its time, from its first byte on."""
        self._end_head()
        self._in_head, self._head_bytes = True, 0

    def _begin_head(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _end_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def shutdown(self) -> None:
        """What lasts as long as its caller likes is told to end by itself."""
        super().shutdown()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.scope["state"].get("leave", _stay)()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.cycle is not None and self.cycle.scope["state"].get("lasting"):
            self._cut = self.loop.call_later(TAKE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None
        super().resume_writing()


def _stay() -> None:
    pass


class PatientSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, which is cut off when the other side takes nothing for too long."""

    _cut: TimerHandle | None = None

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        # Its own lines would hold the whole URL; the edge writes one.
        self.logger = self.conn.logger = logging.getLogger("mops.socket")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._cut = self.loop.call_later(TAKE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        self._stay()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stay()
        super().connection_lost(exc)

    def _stay(self) -> None:
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None


# Rows and answers hold no cycles; at Python's 700 new objects, a page of fifty rows is several collections.
COLLECT_AFTER = 20_000


def collect_seldom() -> None:
    """What was imported is never looked through again, and what comes and goes is looked through seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


def served(app: Any, **where: Any) -> uvicorn.Config:
    """How an app is served; `where` it is: host and port. On SIGTERM a server of this stops listening, answers what has
    begun, closes the app, and ends."""
    return uvicorn.Config(
        app, log_config=None, access_log=False, loop="uvloop", http=Patient, ws=PatientSocket,
        ws_max_size=SOCKET_BYTES, ws_per_message_deflate=False, timeout_keep_alive=KEEPALIVE_SECONDS,
        timeout_graceful_shutdown=FINISH_SECONDS, server_header=False, **where,
    )  # fmt: skip
