"""Decides that a write which is sent again happens once: its answer is kept with it, in its own transaction."""

import hashlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.errors import Invalid, Unavailable
from chassis.secrets import Sealer

HEADER = "Idempotency-Key"
SAFE = {"GET", "HEAD", "OPTIONS"}
LONGEST_KEY = 255
PARAMETER = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY},
    "description": "Any text of your own, new for each write you mean. Sent again within two days, the write is not "
    "done again: the first answer comes back, with `Idempotency-Replayed: true`. The same key with another request is "
    "422.",
}


class Replay(Exception):  # an answer, not an error
    """The answer that this request got the first time."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


@dataclass(frozen=True)
class Claim:
    """A key that this transaction holds; whoever sends it meanwhile waits for what becomes of it."""

    session: AsyncSession
    sealer: Sealer
    row: dict[str, Any]

    @property
    def place(self) -> str:
        return " ".join(str(value) for value in self.row.values())

    async def keep(self, response: Response) -> None:
        """Keeps a success for whoever asks again; anything else leaves the key as if it had never been sent."""
        if response.status_code // 100 != 2:
            await self.session.execute(text(f"DELETE FROM idempotency WHERE {_KEY}"), self.row)  # noqa: S608
            return
        # Sealed, as an answer may hold what is shown once.
        answer = self.sealer.seal(bytes(response.body), self.place)
        await self.session.execute(
            text(f"UPDATE idempotency SET status = :status, answer = :answer WHERE {_KEY}"),  # noqa: S608
            {**self.row, "status": response.status_code, "answer": answer},
        )


_KEY = "workspace_id = :workspace AND subject = :subject AND operation = :operation AND key = :key"


async def claim(request: Request, session: AsyncSession, subject: str, now: datetime) -> None:
    """Takes the request's key for this transaction, if it has one. Raises Replay where it was answered before, and
    Invalid where it came with another request; both before anything is written."""
    key = request.headers.get(HEADER)
    route = request.scope.get("route")
    if key is None or request.method in SAFE or not isinstance(route, IdempotentRoute):
        return
    if not 1 <= len(key) <= LONGEST_KEY or not key.isprintable():
        raise Invalid.field(HEADER, f"1 to {LONGEST_KEY} printable characters", "malformed")
    # Without the address: the same write may come again by another name of this part, or to another replica.
    place = f"{request.url.path}?{request.url.query}"
    fingerprint = hashlib.sha256(b"\0".join((request.method.encode(), place.encode(), await request.body()))).digest()
    row = {"workspace": session.info["workspace_id"], "subject": subject, "operation": route.name, "key": key}
    held = Claim(session, Sealer(request.app.state.settings.secret_key, "idempotency"), row)
    taken = await session.scalar(
        text("""INSERT INTO idempotency (workspace_id, subject, operation, key, fingerprint, created_at)
                VALUES (:workspace, :subject, :operation, :key, :fingerprint, :now)
                ON CONFLICT DO NOTHING RETURNING 1"""),
        {**row, "fingerprint": fingerprint, "now": now},
    )
    if taken:
        request.state.idempotency = held
        return
    kept = (
        await session.execute(
            text(f"SELECT fingerprint, status, answer FROM idempotency WHERE {_KEY}"),  # noqa: S608
            row,
        )
    ).one_or_none()
    if kept is None or kept.answer is None:
        raise Unavailable("this key was freed a moment ago; send the request again")
    if kept.fingerprint != fingerprint:
        raise Invalid.field(HEADER, "this key came with another request before", "reused")
    raise Replay(kept.status, held.sealer.open(kept.answer, held.place))


class IdempotentRoute(APIRoute):
    """A route whose writes take an Idempotency-Key. Its handler sees the answer while the transaction is still open,
    which a dependency can't."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if set(options.get("methods") or ()) - SAFE:
            extra = dict(options.get("openapi_extra") or {})
            extra["parameters"] = [*extra.get("parameters", []), PARAMETER]
            options["openapi_extra"] = extra
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()
        if not set(self.methods or ()) - SAFE:
            return answer

        async def answer_once(request: Request) -> Response:
            if HEADER in request.headers:
                # The claim reads it within the transaction, where a slow sender would hold a connection.
                await request.body()
            response = await answer(request)
            held: Claim | None = getattr(request.state, "idempotency", None)
            if held is not None:
                await held.keep(response)
            return response

        return answer_once


def install(app: FastAPI) -> None:
    """Gives a replayed answer its way out."""

    def replayed(_: Request, found: Exception) -> Response:
        assert isinstance(found, Replay)  # noqa: S101  # registered for this class
        headers = {"Idempotency-Replayed": "true"}
        return Response(found.body, found.status, headers, media_type="application/json")

    app.add_exception_handler(Replay, replayed)
