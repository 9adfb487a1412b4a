"""Decides how the ledger is read and written: an entry and its line's balance in one transaction, under a lock."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, func, select

from chassis.db import workspace_of
from chassis.errors import NotFound
from chassis.reading import Source
from services.budget.ledger.models import Balance, Entry
from services.budget.ledger.rules import Amounts, EntryKind, posted


async def open_balance(session: AsyncSession, line_id: UUID, now: datetime) -> None:
    """Gives a new line its balance of nothing."""
    nothing = {"id": line_id, "workspace_id": workspace_of(session), "changed_at": now, **vars(Amounts())}
    session.add(Balance.model_validate(nothing))
    await session.flush()


async def lock_balance(session: AsyncSession, line_id: UUID) -> Balance:
    """A line's balance, which nobody else changes until this transaction ends. NotFound without the line."""
    balance = await session.get(Balance, (workspace_of(session), line_id), with_for_update=True, populate_existing=True)
    if balance is None:
        raise NotFound(f"no line {line_id}")
    return balance


async def post(
    session: AsyncSession, balance: Balance, kind: EntryKind, change: Amounts, who: str, now: datetime, reason: str
) -> Amounts:
    """Adds an entry to a line whose balance is locked; returns the balance after it. Invalid when it can't be held."""
    after = posted(balance.amounts, change)
    # A request that began earlier may get the lock later. Times that rise as entries do keep every past position true:
    # none ever shows a sum that was never the balance.
    moment = max(now, balance.changed_at)
    entry = {
        "workspace_id": balance.workspace_id, "line_id": balance.id, "kind": kind, **vars(change),
        "recorded_by": who, "recorded_at": moment, "reason": reason,
    }  # fmt: skip
    session.add(Entry.model_validate(entry))
    for pot, minor in vars(after).items():
        setattr(balance, pot, minor)
    balance.changed_at = moment
    await session.flush()
    return after


async def balance_at(session: AsyncSession, line_id: UUID, as_of: datetime) -> Amounts:
    """What the entries of a line up to an instant, it included, sum to."""
    sums = select(*(func.coalesce(func.sum(getattr(Entry, pot)), 0) for pot in vars(Amounts())))
    found = await session.execute(
        sums.where(
            col(Entry.workspace_id) == workspace_of(session),
            col(Entry.line_id) == line_id,
            col(Entry.recorded_at) <= as_of,
        )
    )
    return Amounts(*map(int, found.one()))


async def line_balance(session: AsyncSession, line_id: UUID) -> Amounts:
    """A line's balance as it is now; NotFound without the line."""
    balance = await session.get(Balance, (workspace_of(session), line_id))
    if balance is None:
        raise NotFound(f"no line {line_id}")
    return balance.amounts


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


async def lines_of(session: AsyncSession, campaign_id: UUID) -> list[UUID]:
    """The campaign's lines, in the order in which they are to be locked."""
    rows = await session.scalars(
        text("SELECT id FROM line WHERE campaign_id = :campaign ORDER BY id"), {"campaign": campaign_id}
    )
    return list(rows)


def _amounts(row: Any) -> Amounts:
    # sum() over bigint is numeric, which can't overflow and arrives as a Decimal.
    return Amounts(int(row.allotted), int(row.reserved), int(row.committed), int(row.actual))


_LINES = text("""
    SELECT wanted.key, line.currency, balance.allotted, balance.reserved, balance.committed, balance.actual
    FROM unnest(cast(:ids AS uuid[])) WITH ORDINALITY AS wanted (key, place)
    JOIN line ON line.workspace_id = :workspace AND line.id = wanted.key
    JOIN balance ON balance.workspace_id = :workspace AND balance.id = wanted.key
    ORDER BY wanted.place
""")

_CAMPAIGNS = text("""
    SELECT wanted.key, workspace.currency AS reporting, line.currency, sum(balance.allotted) AS allotted,
        sum(balance.reserved) AS reserved, sum(balance.committed) AS committed, sum(balance.actual) AS actual
    FROM unnest(cast(:ids AS uuid[])) WITH ORDINALITY AS wanted (key, place)
    JOIN workspace ON workspace.workspace_id = :workspace
    LEFT JOIN line ON line.workspace_id = :workspace AND line.campaign_id = wanted.key
    LEFT JOIN balance ON balance.workspace_id = :workspace AND balance.id = line.id
    GROUP BY wanted.key, wanted.place, workspace.currency, line.currency
    ORDER BY wanted.place, line.currency
""")
