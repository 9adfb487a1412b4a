"""Decides where a process can be made to die: named points that it passes, none of which the product knows of."""

import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

# What a process does while it passes a point, and the points on the way.
COMMITS = ("before_commit", "after_commit")
WRITE = tuple(f"write.{point}" for point in (*COMMITS, "before_answer"))
INBOX = tuple(f"inbox.{point}" for point in (*COMMITS, "before_answer"))
RELAY = ("relay.before_post", "relay.after_post")
JOB = ("job.taken", *(f"job.{point}" for point in COMMITS))
POINTS: dict[str, tuple[str, ...]] = {
    "gateway": (*WRITE, "graph.before_answer"),
    "goals": (*WRITE, *INBOX, *RELAY, *JOB),
    "assets": ("upload.staged", "upload.kept", *(f"upload.{point}" for point in (*COMMITS, "before_answer"))),
    "budget": WRITE,
    "metrics": (*WRITE, *INBOX, *RELAY, *JOB, "flush.before_commit", "flush.after_commit", "webhook.before_answer"),
}

_doing: ContextVar[str] = ContextVar("doing", default="")
_left: dict[str, int] = {}
_folder = Path()


def folder(home: Path, process: str) -> Path:
    return home / "crash" / process


def arm(home: Path, process: str, point: str, skip: int) -> None:
    """Lets a process die when it passes a point, after so many passes."""
    folder(home, process).mkdir(parents=True, exist_ok=True)
    unfinished = folder(home, process) / f"{point}.new"
    unfinished.write_text(str(skip))
    unfinished.replace(folder(home, process) / point)


def disarm(home: Path, process: str) -> None:
    for armed in folder(home, process).glob("*"):
        armed.unlink(missing_ok=True)


def passing(point: str) -> None:
    """Dies here, like a process that is pulled out, if somebody armed the point."""
    armed = _folder / point
    try:
        left = _left.setdefault(point, int(armed.read_text()))
    except FileNotFoundError:
        _left.pop(point, None)
        return
    if left > 0:
        _left[point] = left - 1
        return
    armed.unlink()
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def doing(what: str) -> Iterator[None]:
    token = _doing.set(what)
    try:
        yield
    finally:
        _doing.reset(token)


def _kind(scope: Any) -> str:
    path: str = scope.get("path", "")
    if scope["type"] != "http" or scope["method"] in ("GET", "HEAD") or path == "/oauth/token":
        return ""
    known = {"/v1/inbox": "inbox", "/v1/assets": "upload", "/graphql": "graph"}
    return known.get(path) or ("webhook" if path.startswith("/v1/webhooks/") else "write")


def install(part: str, process: str, home: Path) -> None:
    """Makes this process, which is about to become the part, pass its points."""
    global _folder
    _folder = folder(home, process)
    for moment in COMMITS:
        event.listen(Session, moment, _committing(moment))
    _install_requests()
    _install_chassis()
    if part == "metrics":
        _install_flushes()
    if part == "assets":
        _install_uploads()


def _committing(moment: str) -> Callable[[Any], None]:
    def at_commit(_: Any) -> None:
        # Whoever posts a webhook waits for a flush; its own transaction only reads.
        if (what := _doing.get()) and what != "webhook":
            passing(f"{what}.{moment}")

    return at_commit


def _install_requests() -> None:
    from chassis.edge import Edge

    serve = Edge.__call__

    async def serve_passing(self: Edge, scope: Any, receive: Any, send: Any) -> None:
        kind = _kind(scope)

        async def sending(message: Any) -> None:
            if kind and message["type"] == "http.response.start" and message["status"] // 100 == 2:
                passing(f"{kind}.before_answer")
            await send(message)

        with doing(kind):
            await serve(self, scope, receive, sending)

    _replace(Edge, "__call__", serve_passing)


def _install_chassis() -> None:
    from chassis.jobs import Runner
    from chassis.outbox import Relay

    post, perform = Relay._post, Runner._perform

    async def post_passing(self: Relay, *arguments: Any) -> Any:
        passing("relay.before_post")
        refused = await post(self, *arguments)
        passing("relay.after_post")
        return refused

    async def perform_passing(self: Runner, *arguments: Any) -> None:
        passing("job.taken")
        with doing("job"):
            await perform(self, *arguments)

    _replace(Relay, "_post", post_passing)
    _replace(Runner, "_perform", perform_passing)


def _install_flushes() -> None:
    from services.metrics.event.flush import Flusher

    attempt = Flusher._try

    async def attempt_passing(self: Flusher, *arguments: Any) -> Any:
        with doing("flush"):
            return await attempt(self, *arguments)

    _replace(Flusher, "_try", attempt_passing)


def _install_uploads() -> None:
    import obstore

    rename = obstore.rename_async

    async def rename_passing(*arguments: Any, **named: Any) -> None:
        passing("upload.staged")
        await rename(*arguments, **named)
        passing("upload.kept")

    _replace(obstore, "rename_async", rename_passing)


def _replace(owner: Any, name: str, by: Any) -> None:
    setattr(owner, name, by)


Handler = Callable[[Any, Any], Awaitable[None]]
EFFECTS = """
    CREATE SCHEMA IF NOT EXISTS faults;
    CREATE TABLE IF NOT EXISTS faults.effect (part text NOT NULL, source text NOT NULL, event_id uuid NOT NULL);
    GRANT USAGE ON SCHEMA faults TO PUBLIC;
    GRANT INSERT ON faults.effect TO PUBLIC;
"""


def count_effects(part: str, handlers: dict[str, Handler]) -> dict[str, Handler]:
    """The same handlers, each leaving a row in its own transaction: so it shows how often an event took effect."""
    from sqlalchemy import text

    def counted(handler: Handler) -> Handler:
        async def handle(session: Any, incoming: Any) -> None:
            await handler(session, incoming)
            row = {"part": part, "source": incoming.source, "id": incoming.id}
            await session.execute(text("INSERT INTO faults.effect VALUES (:part, :source, :id)"), row)

        return handle

    return {kind: counted(handler) for kind, handler in handlers.items()}


def count_kept(part: str, keep: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """The same of what keeps all events."""
    from sqlalchemy import text

    async def counted(session: Any, events: Any, now: Any) -> None:
        await keep(session, events, now)
        for incoming in events:
            row = {"part": part, "source": incoming.source, "id": incoming.id}
            await session.execute(text("INSERT INTO faults.effect VALUES (:part, :source, :id)"), row)

    return counted
