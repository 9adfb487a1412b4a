"""Decides when decisions on requests are committed: as many as queued up while the last ones were, each with its own
answer. One transaction takes a hot line's lock once for all of them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from fastapi import FastAPI, Request, Response
from sqlalchemy.exc import DBAPIError

from chassis.answers import reads_of, sent
from chassis.audit import Acting
from chassis.db import Database
from chassis.errors import MopsError, Unavailable
from chassis.idempotency import HEADER, Claim, Replay, claim
from services.budget.request.deciding import Ask, decide_all
from services.budget.request.models import SpendRequestRead
from services.budget.request.reading import DERIVED

MOST, MOST_QUEUED = 64, 1_000
# Of the pool's connections; the others are for everything else.
AT_ONCE = 3


@dataclass(eq=False)
class Waiting:
    """An ask, and whoever waits for what becomes of it."""

    ask: Ask
    request: Request
    answer: "asyncio.Future[Response]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def key(self) -> str | None:
        return self.request.headers.get(HEADER)

    def settle(self, found: Response | Exception) -> None:
        if self.answer.done():  # a caller who hung up has cancelled it
            return
        if isinstance(found, Exception):
            self.answer.set_exception(found)
        else:
            self.answer.set_result(found)


class Together:
    """A bounded queue per workspace in front of the database, without a timer: each transaction takes what queued up
    during the last. What fails for one fails for no other."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._lanes: dict[UUID, deque[Waiting]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._closing = False

    async def decide(self, workspace_id: UUID, request: Request, ask: Ask) -> Response:
        """Returns once it is committed; raises what kept it from being decided."""
        lane = self._lanes.get(workspace_id)
        if self._closing or (lane is not None and len(lane) >= MOST_QUEUED):
            raise Unavailable("too many decisions wait here; send it again", code="queue_full")
        waiting = Waiting(ask, request)
        if lane is None:
            lane = self._lanes[workspace_id] = deque()
            task = asyncio.create_task(self._drain(workspace_id, lane))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        lane.append(waiting)
        return await waiting.answer

    async def close(self) -> None:
        """Takes nothing more, and waits for what is queued."""
        self._closing = True
        while self._running:
            await asyncio.gather(*self._running)

    async def _drain(self, workspace_id: UUID, lane: deque[Waiting]) -> None:
        try:
            while lane:
                async with self._slots:
                    await self._settle(workspace_id, take(lane))
        finally:
            # In the same step in which the lane was found empty: a later one begins another.
            del self._lanes[workspace_id]
            for each in lane:
                each.settle(Unavailable("this process is stopping; send it again"))

    async def _settle(self, workspace_id: UUID, batch: Sequence[Waiting]) -> None:
        try:
            answers = await self._commit(workspace_id, batch)
        except DBAPIError as problem:
            if len(batch) > 1 and not problem.connection_invalidated:
                # One of them is to blame; each alone, so that it costs no other.
                for each in batch:
                    await self._settle(workspace_id, [each])
                return
            answers = [problem] * len(batch)
        except Exception as problem:  # whoever waits hears of it as if the transaction had been theirs
            answers = [problem] * len(batch)
        for each, answer in zip(batch, answers, strict=True):
            each.settle(answer)

    async def _commit(self, workspace_id: UUID, batch: Sequence[Waiting]) -> list[Response | Exception]:
        async with self._database.tenant(workspace_id) as session:
            await self._database.workspace(session)
            answers: dict[Waiting, Response | Exception] = {}
            claims: dict[Waiting, Claim] = {}
            # In the order of keys, so that no two transactions wait for each other.
            for each in sorted((each for each in batch if each.key is not None), key=lambda each: each.key or ""):
                try:
                    await claim(each.request, session, each.ask.acting.actor, each.ask.now)
                    claims[each] = each.request.state.idempotency
                    # It is kept here, before the commit, and not by the route.
                    each.request.state.idempotency = None
                except (MopsError, Replay) as problem:
                    answers[each] = problem
            open_ones = [each for each in batch if each not in answers]
            found = await decide_all(session, [each.ask for each in open_ones]) if open_ones else []
            rows = [row for row in found if not isinstance(row, MopsError)]
            reads = iter(await reads_of(session, SpendRequestRead, rows, **DERIVED))
            for each, row in zip(open_ones, found, strict=True):
                answers[each] = row if isinstance(row, MopsError) else sent(next(reads))
            for each, held in claims.items():
                answer = answers[each]
                await held.keep(answer if isinstance(answer, Response) else Response(status_code=409))
        return [answers[each] for each in batch]


def take(lane: deque[Waiting]) -> list[Waiting]:
    """The first ones, none of a request or with a key that another of them has: those wait for what becomes of it."""
    batch: list[Waiting] = []
    requests: set[UUID] = set()
    keys: set[str] = set()
    while lane and len(batch) < MOST:
        first = lane[0]
        if first.ask.request_id in requests or (first.key is not None and first.key in keys):
            break
        batch.append(lane.popleft())
        requests.add(first.ask.request_id)
        if first.key is not None:
            keys.add(first.key)
    return batch


@asynccontextmanager
async def deciding(app: FastAPI) -> AsyncIterator[None]:
    """Opens the queue that decisions are committed through, and waits for what is in it at the end."""
    app.state.together = together = Together(app.state.database)
    try:
        yield
    finally:
        await together.close()


def acting_for(request: Request, subject: str) -> Acting:
    """Who acts, and by which operation."""
    scope: Any = request.scope
    return Acting(subject, scope["route"].name, request.state.request_id)
