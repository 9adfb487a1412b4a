"""Decides which lines a forecast adds up, and at which rates what is in other currencies counts."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.db import zone_of
from chassis.errors import Conflict
from chassis.fields import FIRST_DAY, LAST_DAY
from chassis.reading import Reader
from services.budget.forecast import store
from services.budget.forecast.rules import Outlook, converted, outlook
from services.budget.ledger.rules import Amounts
from services.budget.ledger.store import POTS
from services.budget.rate import store as rates
from services.budget.rate.rules import Rate

FIRST, LAST = (
    datetime.combine(day, time(), UTC) for day in (FIRST_DAY - timedelta(days=2), LAST_DAY + timedelta(days=2))
)


async def day_of(reader: Reader, instant: datetime) -> date:
    """The workspace's own day at an instant; of one before or after all days that lines may have, the last such day."""
    within = min(max(instant, FIRST), LAST)
    return within.astimezone(ZoneInfo(await zone_of(reader))).date()


async def foresee_lines(
    reader: Reader, line_ids: Sequence[UUID], day: date, as_of: datetime | None, *, below: bool
) -> dict[UUID, tuple[str, int, Outlook]]:
    """Currency, number of lines and outlook of each that exists, in the order asked for. Lines below another have its
    currency."""
    rows = await store.lines_under(reader, line_ids, day, as_of, below=below)
    found: dict[UUID, tuple[str, int, Outlook]] = {}
    for row, each in zip(rows, await _outlooks(reader, rows, day, as_of), strict=True):
        currency, count, so_far = found.get(row.root, (row.currency, 0, Outlook()))
        found[row.root] = currency, count + 1, so_far + each
    return found


async def foresee_plan(
    reader: Reader, reporting: str, day: date, as_of: datetime | None, departments: Sequence[str]
) -> dict[str, tuple[int, Outlook]]:
    """By department the number of lines and their outlook in the reporting currency. Conflict `no_rate` when a rate is
    missing: a sum without some lines would be none."""
    rows = await store.lines_on(reader, day, as_of, departments)
    sums: dict[tuple[str, str], Outlook] = defaultdict(Outlook)
    counts: dict[str, int] = defaultdict(int)
    for row, each in zip(rows, await _outlooks(reader, rows, day, as_of), strict=True):
        sums[row.department, row.currency] += each
        counts[row.department] += 1
    known = await rates.rates_of(reader, sorted({currency for _, currency in sums}), reporting, day) if sums else {}
    found: dict[str, Outlook] = defaultdict(Outlook)
    # Each currency of each department is rounded once.
    for (department, currency), each in sums.items():
        found[department] += converted(each, known[currency])
    return {department: (counts[department], found[department]) for department in found}


async def _outlooks(reader: Reader, rows: Sequence[Any], day: date, as_of: datetime | None) -> list[Outlook]:
    optional = await _optional(reader, {row.id: row.currency for row in rows}, day, as_of)
    return [
        outlook(
            row.period_start, row.period_end, day, Amounts(*(int(getattr(row, pot)) for pot in POTS)),
            int(row.lately), optional.get(row.id, 0), int(row.renewed),
        )
        for row in rows
    ]  # fmt: skip


async def _optional(
    reader: Reader, currencies: dict[UUID, str], day: date, as_of: datetime | None
) -> dict[UUID, int | None]:
    """What is asked of lines, in their currency; None where no rate is known."""
    known: dict[tuple[str, str], Rate | None] = {}
    found: dict[UUID, int | None] = {}
    for row in await store.undecided(reader, list(currencies), as_of) if currencies else ():
        pair = row.currency, currencies[row.line_id]
        if pair not in known:
            try:
                known[pair] = await rates.rate_of(reader, *pair, day)
            except Conflict:
                known[pair] = None
        rate, so_far = known[pair], found.get(row.line_id, 0)
        found[row.line_id] = None if rate is None or so_far is None else so_far + rate.of(int(row.minor))
    return found
