"""Decides how an import goes on: read, then posted or undone chunk by chunk, each a transaction that also moves its
position; so what is killed goes on where it was, and nothing is done twice."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from babel.numbers import list_currencies
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import get_row
from chassis.fields import places_of
from chassis.jobs import Deferred, defer
from chassis.outbox import record
from services.budget.mapping.rules import DateOrder, DecimalMark, How, Said, SpendingSign, Spent, Unreadable, read_row
from services.budget.statement import store
from services.budget.statement.models import Statement, StatementFinished
from services.budget.statement.posting import post_rows
from services.budget.statement.reading import read_file
from services.budget.statement.rules import (
    CHUNK,
    GIVEN_UP,
    UNDER_WAY,
    FileProblem,
    StatementState,
    resumed,
    unpack,
    words,
)
from services.budget.statement.undoing import undo_rows

# How long the file of a dry run waits to be posted.
KEPT = timedelta(days=30)


async def go_on(session: AsyncSession, statement_id: UUID) -> None:
    """The next step of an import: its file is read, or one chunk of it is posted or undone."""
    statement = await get_row(session, Statement, statement_id, lock=True)
    now: datetime = session.info["clock"]()
    who = statement.undone_by or statement.posted_by or statement.uploaded_by
    session.info["actor"] = who
    if statement.problem == GIVEN_UP:
        resume(statement)
    if statement.state is StatementState.PENDING:
        await _read(session, statement, now)
    elif statement.state is StatementState.RUNNING:
        await _post(session, statement, who, now)
    elif statement.state is StatementState.UNDOING:
        await _undo(session, statement, now)
    if statement.state in UNDER_WAY:
        await defer(session, GO_ON, statement_id)
    elif statement.finished_at == now:
        await _tell(session, statement, now)


async def _tell(session: AsyncSession, statement: Statement, now: datetime) -> None:
    finished = StatementFinished(
        statement_id=statement.id, dry_run=statement.dry_run, state=statement.state, problem=statement.problem,
        posted=statement.posted, exceptions=statement.exceptions, duplicates=statement.duplicates, bad=statement.bad,
    )  # fmt: skip
    await record(session, finished, statement.id, now)


async def give_up(session: AsyncSession, statement_id: UUID, why: str) -> None:
    """Says that an import stopped where it is, and why; what it posted stays."""
    statement = await get_row(session, Statement, statement_id, lock=True)
    if statement.state in UNDER_WAY:
        statement.state, statement.problem = StatementState.FAILED, GIVEN_UP
        statement.message = f"it stopped after {statement.seen} rows: {why}"[:500]
        statement.finished_at = now = session.info["clock"]()
        await session.flush()
        await _tell(session, statement, now)


def resume(statement: Statement) -> None:
    """Lets an import that was given up go on where it stopped."""
    undoing = statement.undone_by is not None
    statement.state = resumed(statement.state, statement.problem, undoing=undoing, chunks=statement.chunks)
    statement.problem = statement.message = statement.finished_at = None


GO_ON = Deferred("import_statement", go_on, give_up)


async def _read(session: AsyncSession, statement: Statement, now: datetime) -> None:
    data = b"".join(await store.parts_of(session, statement.id))
    reading = statement.reading
    wanted = {Said(said): name for said, name in reading["columns"].items()}
    await store.drop_parts(session, statement.id)
    try:
        found = await asyncio.to_thread(read_file, data, reading["sheet"], wanted)
    except FileProblem as problem:
        statement.state, statement.finished_at = StatementState.FAILED, now
        statement.problem, statement.message = problem.code, problem.message[:500]
    else:
        for place, chunk in enumerate(found.chunks):
            await store.add_part(session, statement.id, place, chunk)
        at = {said.value: place for said, place in found.at.items()}
        statement.reading = {**reading, "at": at, "width": found.width}
        statement.rows, statement.chunks, statement.state = found.rows, len(found.chunks), StatementState.RUNNING
    await session.flush()


async def _post(session: AsyncSession, statement: Statement, who: str, now: datetime) -> None:
    (chunk,) = await store.parts_of(session, statement.id, statement.position)
    rows = await asyncio.to_thread(_rows, chunk, statement.reading)
    counts = await post_rows(session, statement, rows, who, now)
    await store.note_progress(session, statement.id, statement.position + 1, counts)
    await session.refresh(statement)
    if statement.position == statement.chunks:
        statement.state, statement.finished_at = StatementState.DONE, now
        if statement.dry_run:
            await store.note_rehearsed(session, statement.id, None)
        else:
            await store.drop_parts(session, statement.id)
        await session.flush()


def _rows(chunk: bytes, reading: Mapping[str, Any]) -> list[tuple[int, Spent | Unreadable]]:
    how = How(
        reading["date_order"] and DateOrder(reading["date_order"]), DecimalMark(reading["decimal_mark"]),
        SpendingSign(reading["spending"]), reading["currency"],
    )  # fmt: skip
    at = {Said(said): place for said, place in reading["at"].items()}
    known = {code: places_of(code) for code in list_currencies()}
    read = partial(read_row, at=at, width=reading["width"], how=how, places=known.get)
    found: list[tuple[int, Spent | Unreadable]] = []
    for number, cells in unpack(chunk):
        try:
            found.append((number, read(cells) if cells is not None else _broken()))
        except Unreadable as problem:
            found.append((number, problem))
    return found


def _broken() -> Unreadable:
    return Unreadable(None, "quotes", words("quotes"))


async def _undo(session: AsyncSession, statement: Statement, now: datetime) -> None:
    rows = await store.counting_rows(session, statement.id, statement.position, CHUNK)
    if rows:
        counts = await undo_rows(session, statement, rows, now)
        await store.note_progress(session, statement.id, rows[-1].number, counts)
        await session.refresh(statement)
    if len(rows) < CHUNK:
        # What a given up import had still to post isn't posted any more.
        await store.drop_parts(session, statement.id)
        whole = not await store.counting_rows(session, statement.id, 0, 1)
        statement.state = StatementState.UNDONE if whole else StatementState.DONE
        statement.finished_at = now
        await session.flush()
