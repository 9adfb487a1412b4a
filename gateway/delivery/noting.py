"""Decides how attempts' outcomes are noted: what is answered while one note is written is in the next one, so that no
receiver's place waits for the notes of all others."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.exc import DBAPIError

# At a time, of all workspaces: of the pool's connections; the others are for requests.
NOTING = 2


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of an attempt at a leased row: the status that was answered, why that isn't a success, and for how
    long the receiver wants to be left alone."""

    row: Any
    status: int | None
    error: str | None
    asked: timedelta | None = None
    noted: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


Write = Callable[[UUID, Sequence[Outcome]], Awaitable[None]]


class Noting:
    """`write` notes outcomes of one workspace in one transaction."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._turns = asyncio.Semaphore(NOTING)
        self._waiting: dict[UUID, list[Outcome]] = {}
        self._writing: dict[UUID, asyncio.Task[None]] = {}

    async def note(self, outcome: Outcome) -> None:
        """Returns when it is committed; raises why it couldn't be."""
        workspace_id = outcome.row.workspace_id
        self._waiting.setdefault(workspace_id, []).append(outcome)
        if workspace_id not in self._writing:
            self._writing[workspace_id] = asyncio.create_task(self._write_all(workspace_id))
        await outcome.noted

    async def _write_all(self, workspace_id: UUID) -> None:
        try:
            while workspace_id in self._waiting:
                async with self._turns:
                    await self._write_together(workspace_id, self._waiting.pop(workspace_id))
        finally:
            del self._writing[workspace_id]

    async def _write_together(self, workspace_id: UUID, outcomes: list[Outcome]) -> None:
        # Whose attempt was broken off meanwhile has been given back.
        left = [each for each in outcomes if not each.noted.done()]
        if not left:
            return
        try:
            await self._write(workspace_id, in_order(left))
        except Exception as problem:  # it belongs to those who wait
            if len(left) > 1 and isinstance(problem, DBAPIError) and not problem.connection_invalidated:
                # One of them is to blame; each alone, so that no other is told again for it.
                for each in left:
                    await self._write_together(workspace_id, [each])
                return
            _end(left, problem)
        else:
            _end(left, None)


def in_order(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """In which several are noted together, here or elsewhere, without waiting for each other: by endpoint; and of each
    first what failed, which locks the endpoint before any delivery of its is changed."""
    return sorted(outcomes, key=lambda each: (each.row.endpoint_id, each.error is None, each.row.id))


def _end(outcomes: Sequence[Outcome], problem: Exception | None) -> None:
    for each in outcomes:
        if each.noted.done():
            continue
        if problem is None:
            each.noted.set_result(None)
        else:
            each.noted.set_exception(problem)
