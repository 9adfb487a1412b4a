"""Decides how the ledger is read and written: an entry and its line's balance in one statement, one round trip."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from chassis.db import get_row, workspace_of
from chassis.errors import NotFound
from chassis.fields import new_id
from chassis.reading import Reader, Source
from services.budget.ledger.models import Balance, Entry, Hold
from services.budget.ledger.rules import LARGEST, OPEN, Amounts, EntryKind, Leg, Original, Standing, too_much

POTS = tuple(vars(Amounts()))
OUT_OF_RANGE = "22003"


async def open_balance(session: AsyncSession, line_id: UUID, now: datetime, *, stops: bool, low_percent: int) -> None:
    """Gives a new line its balance of nothing, closed as far as the workspace is."""
    # No closing comes between what is read and what is written.
    await session.execute(_LET_NONE_CLOSE, {"workspace": str(workspace_of(session))})
    row = {
        "id": line_id, "workspace_id": workspace_of(session), "changed_at": now, "stops": stops,
        "low_percent": low_percent, **vars(Amounts()), "closed_until": await closed_until(session),
    }  # fmt: skip
    session.add(Balance.model_validate(row))
    await session.flush()


async def lock_balance(session: AsyncSession, line_id: UUID) -> Balance:
    """A line's balance, which nobody else changes until this transaction ends. NotFound without the line."""
    balance = await session.get(Balance, (workspace_of(session), line_id), with_for_update=True, populate_existing=True)
    if balance is None:
        raise NotFound(f"no line {line_id}")
    return balance


async def add_entry(
    session: AsyncSession, kind: EntryKind, leg: Leg, *, who: str, now: datetime, reason: str, booked_on: date,
    movement_id: UUID, subject_id: UUID | None, reverses: UUID | None,
) -> Standing | None:  # fmt: skip
    """Moves a line's money and writes down that it did, if the line takes it; what it has afterwards, None otherwise.
    Whoever comes second waits for the first to commit, and is judged by what that one left."""
    original = leg.original
    values = {
        "workspace": workspace_of(session), "line": leg.line_id, "id": new_id(), "kind": kind.value,
        **vars(leg.change), "available": leg.change.available,
        "who": who, "now": now, "reason": reason, "booked_on": booked_on, "movement": movement_id,
        "subject": subject_id, "reverses": reverses,
        "original_minor": original and original.minor, "original_currency": original and original.currency,
        "rate": original and original.rate, "rate_on": original and original.rate_on,
    }  # fmt: skip
    try:
        row = (await session.execute(_ADD, values)).one_or_none()
    except DBAPIError as problem:
        if getattr(problem.orig, "sqlstate", None) == OUT_OF_RANGE:
            raise too_much() from None
        raise
    return _standing(row) if row else None


async def standing(source: Source, line_id: UUID) -> Standing:
    """What a writer finds of a line now; NotFound without it."""
    row = (await source.execute(_STANDING, {"workspace": workspace_of(source), "line": line_id})).one_or_none()
    if row is None:
        raise NotFound(f"no line {line_id}")
    return _standing(row)


async def lock_lines(session: AsyncSession, line_ids: Iterable[UUID]) -> dict[UUID, Standing]:
    """What a writer finds of several lines, which nobody else changes until this transaction ends."""
    asked = {"workspace": workspace_of(session), "lines": list(set(line_ids))}
    return {row.id: _standing(row) for row in (await session.execute(_LOCK, asked)).all()}


async def keep(
    session: AsyncSession, now: datetime, found: Iterable[Standing], entries: Any, holds: Any = (), *, anew: bool = True
) -> None:
    """Writes down what became of lines that this transaction has locked, the entries that did it, and what they hold:
    rows as their tables have them, in one statement. `anew`: what is held was not, which Postgres sees to."""
    pots = [{"id": each.line_id, "entries": each.entries, **vars(each.balance)} for each in found]
    values = {name: to_json(rows).decode() for name, rows in (("lines", pots), ("entries", entries), ("holds", holds))}
    statement = _RESERVE if anew else _REVALUE
    await session.execute(statement, {"workspace": workspace_of(session), "now": now, **values})


async def balance_at(source: Source, line_id: UUID, as_of: datetime) -> Amounts:
    """What was on each account of a line at an instant, what happened then included: on its last entry by then."""
    asked = {"workspace": workspace_of(source), "line": line_id, "as_of": as_of}
    row = (await source.execute(_AS_OF, asked)).one_or_none()
    return _amounts(row) if row else Amounts()


async def line_balance(source: Source, line_id: UUID) -> tuple[str, Amounts]:
    """A line's currency and what is on its accounts now; NotFound without the line."""
    found = await line_balances(source, [line_id])
    if not found:
        raise NotFound(f"no line {line_id}")
    return found[0][1:]


async def line_balances(source: Source, line_ids: Sequence[UUID]) -> list[tuple[UUID, str, Amounts]]:
    """Id, currency and balance of those lines that exist, in the order asked for; one query."""
    rows = await source.execute(_LINES, {"workspace": workspace_of(source), "ids": list(dict.fromkeys(line_ids))})
    return [(row.key, row.currency, _amounts(row)) for row in rows]


async def campaign_sums(
    source: Source, campaign_ids: Sequence[UUID]
) -> tuple[str, Mapping[UUID, Mapping[str, Amounts]]]:
    """The reporting currency, and per campaign (in the order asked for) what its lines sum to in each currency; one
    query however many campaigns and lines."""
    rows = await source.execute(
        _CAMPAIGNS, {"workspace": workspace_of(source), "ids": list(dict.fromkeys(campaign_ids))}
    )
    reporting = ""
    found: dict[UUID, dict[str, Amounts]] = {}
    for row in rows:
        reporting = row.reporting
        sums = found.setdefault(row.key, {})
        if row.currency is not None:
            sums[row.currency] = _amounts(row)
    return reporting, found


async def bring_currencies(reader: Reader, entries: Sequence[Any]) -> None:
    """Adds to entries that are only read the currency of their line."""
    asked = {"workspace": workspace_of(reader), "ids": list({entry.line_id for entry in entries})}
    found = {row.id: row.currency for row in await reader.execute(_CURRENCIES, asked)}
    for entry in entries:
        entry.currency = found[entry.line_id]


async def entries_of(session: AsyncSession, entry_id: UUID) -> list[Entry]:
    """An entry and those that balance it, in the order in which their lines are locked; NotFound without it."""
    entry = await get_row(session, Entry, entry_id)
    if entry.movement_id is None:
        return [entry]
    ids = await session.scalars(
        text("SELECT id FROM entry WHERE workspace_id = :workspace AND movement_id = :movement ORDER BY line_id, seq"),
        {"workspace": entry.workspace_id, "movement": entry.movement_id},
    )
    return [await get_row(session, Entry, each) for each in ids.all()]


async def entries_by_id(source: Source, ids: Sequence[UUID]) -> Sequence[Any]:
    """These entries; one query."""
    asked = {"workspace": workspace_of(source), "ids": list(ids)}
    found: Sequence[Any] = (await source.execute(_BY_ID, asked)).all()
    return found


async def actuals_of(session: AsyncSession, subject_id: UUID) -> list[Entry]:
    """What was spent for something: an entry on each line that it took money of."""
    found = await session.scalars(
        select(Entry)
        .where(col(Entry.workspace_id) == workspace_of(session), col(Entry.subject_id) == subject_id)
        .where(col(Entry.kind) == EntryKind.ACTUAL)
        .order_by(col(Entry.line_id), col(Entry.seq))
    )
    return list(found.all())


async def saved_of(session: AsyncSession, subject_id: UUID) -> dict[UUID, int]:
    """By line what letting go of money for something has given back as `price`, where that is anything."""
    rows = await session.execute(_SAVED, {"workspace": workspace_of(session), "subject": subject_id})
    return {row.line_id: int(row.price) for row in rows.all()}


async def is_reversed(session: AsyncSession, entry_id: UUID) -> bool:
    found = await session.scalar(
        text("SELECT true FROM entry WHERE workspace_id = :workspace AND reverses = :entry"),
        {"workspace": workspace_of(session), "entry": entry_id},
    )
    return bool(found)


def change_of(entry: Entry) -> Amounts:
    return _amounts(entry)


def original_of(entry: Entry, times: int = 1) -> Original | None:
    """What an entry was before it was converted; so many times."""
    if entry.original_currency is None or entry.rate is None or entry.rate_on is None:
        return None
    return Original(times * (entry.original_minor or 0), entry.original_currency, entry.rate, entry.rate_on)


async def add_hold(session: AsyncSession, hold: Hold) -> None:
    session.add(hold)
    await session.flush()


async def holds_of(session: AsyncSession, subject_id: UUID) -> list[Hold]:
    """What is held for something, open or not, held by this transaction in the order in which lines are locked."""
    rows = await session.scalars(
        text("SELECT id FROM hold WHERE workspace_id = :workspace AND subject_id = :subject ORDER BY line_id, id"),
        {"workspace": workspace_of(session), "subject": subject_id},
    )
    return [await get_row(session, Hold, each, lock=True) for each in rows.all()]


async def open_holds(session: AsyncSession, *, line_id: UUID | None = None, foreign: bool = False) -> list[Hold]:
    """What is still held, of a line or of all; `foreign`: in another currency than its line's."""
    rows = await session.scalars(
        text("""SELECT hold.id FROM hold JOIN line ON line.workspace_id = hold.workspace_id AND line.id = hold.line_id
                WHERE hold.workspace_id = :workspace AND hold.state IN ('reserved', 'committed')
                    AND (cast(:line AS uuid) IS NULL OR hold.line_id = :line)
                    AND (NOT :foreign OR hold.currency <> line.currency)
                ORDER BY hold.line_id, hold.id"""),
        {"workspace": workspace_of(session), "line": line_id, "foreign": foreign},
    )
    found = [await get_row(session, Hold, each, lock=True) for each in rows.all()]
    # Some may have been resolved by those that this one waited for.
    return [hold for hold in found if hold.state in OPEN]


async def lock_held(session: AsyncSession, subject_ids: Sequence[UUID], line_ids: Sequence[UUID]) -> None:
    """Locks what is held for subjects and on lines, and then all lines that it is on: for whoever lets go of more than
    one."""
    asked = {"workspace": workspace_of(session), "subjects": list(subject_ids), "lines": list(line_ids)}
    held = (await session.execute(_LOCK_HOLDS, asked)).all()
    await lock_lines(session, [row.line_id for row in held])


async def foreign_holds(session: AsyncSession) -> list[Any]:
    """What is still held in another currency than its line's, with that one, held by this transaction; one query."""
    return list((await session.execute(_FOREIGN, {"workspace": workspace_of(session)})).all())


async def closed_until(session: AsyncSession) -> date | None:
    """The day before which nothing is booked any more, on any line."""
    found: date | None = await session.scalar(_CLOSED, {"workspace": workspace_of(session)})
    return found


async def hold_closing(session: AsyncSession) -> date | None:
    """The same, while nobody else closes, reopens or opens a line until this transaction ends."""
    await session.execute(_CLOSE_ALONE, {"workspace": str(workspace_of(session))})
    return await closed_until(session)


async def close_until(session: AsyncSession, day: date | None) -> None:
    """Closes every line's days before this one, or opens those from it on; waits for whoever is writing to a line."""
    await session.execute(
        text("""INSERT INTO closing (workspace_id, id, closed_until) VALUES (:workspace, :id, :day)
                ON CONFLICT (workspace_id) DO UPDATE SET closed_until = excluded.closed_until"""),
        {"workspace": workspace_of(session), "id": new_id(), "day": day},
    )
    await session.execute(
        text("""UPDATE balance SET closed_until = :day WHERE (workspace_id, id) IN (
                    SELECT workspace_id, id FROM balance WHERE workspace_id = :workspace ORDER BY id FOR UPDATE)"""),
        {"workspace": workspace_of(session), "day": day},
    )


async def lines_of(session: AsyncSession, campaign_id: UUID) -> list[UUID]:
    """The campaign's lines, in the order in which they are to be locked."""
    rows = await session.scalars(
        text("SELECT id FROM line WHERE workspace_id = :workspace AND campaign_id = :campaign ORDER BY id"),
        {"workspace": workspace_of(session), "campaign": campaign_id},
    )
    return list(rows)


def _amounts(row: Any) -> Amounts:
    # sum() over bigint is numeric, which can't overflow and arrives as a Decimal.
    return Amounts(*(int(getattr(row, pot) or 0) for pot in POTS))


def _standing(row: Any) -> Standing:
    return Standing(row.id, _amounts(row), row.stops, row.closed_until, row.low_percent, row.entries)


_SAVED = text("""
    SELECT line_id, sum(price) AS price FROM entry WHERE workspace_id = :workspace AND subject_id = :subject
    GROUP BY line_id HAVING sum(price) <> 0 ORDER BY line_id
""")
_BY_ID = text("SELECT * FROM entry WHERE workspace_id = :workspace AND id = ANY(:ids) ORDER BY line_id, seq")
_AVAILABLE = "allotted + transferred - reserved - committed - actual"
_STAND = "id, stops, closed_until, low_percent, entries, " + ", ".join(POTS)
_STANDING = text(f"SELECT {_STAND} FROM balance WHERE workspace_id = :workspace AND id = :line")  # noqa: S608
_CLOSED = text("SELECT closed_until FROM closing WHERE workspace_id = :workspace")
_LET_NONE_CLOSE = text("SELECT pg_advisory_xact_lock_shared(hashtextextended('closing:' || :workspace, 0))")
_CLOSE_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended('closing:' || :workspace, 0))")

# The conditions are `rules.refusal`, which says afterwards which of them didn't hold. A request that began earlier may
# come later; times that rise as entries do keep every past position true.
_ADD = text(f"""
    WITH line AS (
        UPDATE balance SET entries = entries + 1, changed_at = greatest(changed_at, :now),
            {", ".join(f"{pot} = {pot} + :{pot}" for pot in POTS)}
        WHERE workspace_id = :workspace AND id = :line
            AND (NOT stops OR cast(:available AS bigint) >= 0 OR {_AVAILABLE} + :available >= 0)
            AND allotted + :allotted + transferred + :transferred <= {LARGEST}
            AND {_AVAILABLE} + :available BETWEEN -{LARGEST} AND {LARGEST}
            AND (closed_until IS NULL OR closed_until <= :booked_on)
            AND reserved + :reserved >= 0 AND committed + :committed >= 0
        RETURNING *
    ), entry AS (
        INSERT INTO entry (workspace_id, id, line_id, kind, {", ".join(POTS)}, available, seq,
            {", ".join(f"after_{pot}" for pot in POTS)}, recorded_by, recorded_at, reason, booked_on, movement_id,
            subject_id, reverses, original_minor, original_currency, rate, rate_on)
        SELECT workspace_id, cast(:id AS uuid), id, cast(:kind AS text), {", ".join(f":{pot}" for pot in POTS)},
            :available, entries, {", ".join(POTS)}, cast(:who AS text), changed_at, cast(:reason AS text), :booked_on,
            cast(:movement AS uuid), cast(:subject AS uuid), cast(:reverses AS uuid),
            cast(:original_minor AS bigint), cast(:original_currency AS text), cast(:rate AS numeric),
            cast(:rate_on AS date)
        FROM line
    )
    SELECT {_STAND} FROM line
""")  # noqa: S608

_LOCK = text(f"""
    SELECT {_STAND} FROM balance WHERE workspace_id = :workspace AND id = ANY(:lines) ORDER BY id FOR UPDATE
""")  # noqa: S608
_ENTRY, _HOLD = (tuple(vars(of)["__table__"].columns.keys()) for of in (Entry, Hold))
_KEEP = f"""
    WITH line AS (
        UPDATE balance SET entries = given.entries, changed_at = greatest(balance.changed_at, :now),
            {", ".join(f"{pot} = given.{pot}" for pot in POTS)}
        FROM json_populate_recordset(cast(null AS balance), cast(:lines AS json)) AS given
        WHERE balance.workspace_id = :workspace AND balance.id = given.id
        RETURNING balance.id, balance.changed_at
    ), held AS (
        INSERT INTO hold ({", ".join(_HOLD)})
        SELECT {", ".join(_HOLD)} FROM json_populate_recordset(cast(null AS hold), cast(:holds AS json))
        %s
    )
    INSERT INTO entry ({", ".join(_ENTRY)})
    SELECT {", ".join("line.changed_at" if name == "recorded_at" else f"given.{name}" for name in _ENTRY)}
    FROM json_populate_recordset(cast(null AS entry), cast(:entries AS json)) AS given
    JOIN line ON line.id = given.line_id
"""  # noqa: S608
_AGAIN = "amount = excluded.amount, rate = excluded.rate, rate_on = excluded.rate_on"
_RESERVE, _REVALUE = text(_KEEP % ""), text(_KEEP % f"ON CONFLICT (workspace_id, id) DO UPDATE SET {_AGAIN}")

_LOCK_HOLDS = text("""
    SELECT line_id FROM hold
    WHERE workspace_id = :workspace AND (subject_id = ANY(:subjects) OR line_id = ANY(:lines))
        AND state IN ('reserved', 'committed')
    ORDER BY line_id, id FOR UPDATE
""")
_FOREIGN = text("""
    SELECT hold.*, line.currency AS line_currency
    FROM hold JOIN line ON line.workspace_id = hold.workspace_id AND line.id = hold.line_id
    WHERE hold.workspace_id = :workspace AND hold.state IN ('reserved', 'committed') AND hold.currency <> line.currency
    ORDER BY hold.line_id, hold.id FOR UPDATE OF hold
""")

_AS_OF = text(f"""
    SELECT {", ".join(f"after_{pot} AS {pot}" for pot in POTS)} FROM entry
    WHERE workspace_id = :workspace AND line_id = :line AND recorded_at <= :as_of
    ORDER BY recorded_at DESC, seq DESC LIMIT 1
""")  # noqa: S608

_LINES = text(f"""
    SELECT wanted.key, line.currency, {", ".join(f"balance.{pot}" for pot in POTS)}
    FROM unnest(cast(:ids AS uuid[])) WITH ORDINALITY AS wanted (key, place)
    JOIN line ON line.workspace_id = :workspace AND line.id = wanted.key
    JOIN balance ON balance.workspace_id = :workspace AND balance.id = wanted.key
    ORDER BY wanted.place
""")  # noqa: S608

_CURRENCIES = text("SELECT id, currency FROM line WHERE workspace_id = :workspace AND id = ANY(:ids)")

_CAMPAIGNS = text(f"""
    SELECT wanted.key, workspace.currency AS reporting, line.currency,
        {", ".join(f"sum(balance.{pot}) AS {pot}" for pot in POTS)}
    FROM unnest(cast(:ids AS uuid[])) WITH ORDINALITY AS wanted (key, place)
    JOIN workspace ON workspace.workspace_id = :workspace
    LEFT JOIN line ON line.workspace_id = :workspace AND line.campaign_id = wanted.key
    LEFT JOIN balance ON balance.workspace_id = :workspace AND balance.id = line.id
    GROUP BY wanted.key, wanted.place, workspace.currency, line.currency
    ORDER BY wanted.place, line.currency
""")  # noqa: S608
