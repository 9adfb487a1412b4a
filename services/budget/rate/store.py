"""Decides how rates are found and kept: what the workspace imported, and what is shipped where that isn't newer."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from chassis.fields import new_id, places_of
from chassis.reading import Source
from services.budget.rate.reference import table
from services.budget.rate.rules import HUB, OLDEST, Quote, Rate, cross, same


async def rate_of(source: Source, currency: str, into: str, day: date) -> Rate:
    """The rate as of a day; Conflict `no_rate` when none is known. Asks the database only where two currencies meet."""
    return (await rates_of(source, [currency], into, day))[currency]


async def rates_of(source: Source, currencies: Sequence[str], into: str, day: date) -> dict[str, Rate]:
    """The rates of several currencies in one, as of a day; one query."""
    foreign = sorted({*currencies, into} - {HUB}) if set(currencies) != {into} else []
    quotes = await _quotes(source, foreign, day) if foreign else {}
    return {
        each: cross(each, into, day, quotes, places_of(into) - places_of(each)) if each != into else same(each, day)
        for each in dict.fromkeys(currencies)
    }


async def _quotes(source: Source, currencies: list[str], day: date) -> dict[str, Quote]:
    shipped = {each: found for each in currencies if (found := table().last(each, day))}
    asked = {"workspace": workspace_of(source), "currencies": currencies, "day": day, "oldest": day - OLDEST}
    rows = (await source.execute(_LAST, asked)).all()
    own = {row.currency: Quote(row.per_euro, row.day) for row in rows}
    # Of the same day the imported one: whoever brings it means it.
    return {
        each: max((quotes[each] for quotes in (own, shipped) if each in quotes), key=lambda quote: quote.day)
        for each in {*own, *shipped}
    }


async def keep_rates(session: AsyncSession, found: Sequence[tuple[str, date, Decimal]], who: str, now: datetime) -> int:
    """Adds rates, or replaces those of the same currency and day; in one statement."""
    newest = {(currency, day): rate for currency, day, rate in found}
    await session.execute(
        _KEEP,
        {
            "workspace": workspace_of(session), "ids": [new_id() for _ in newest],
            "currencies": [currency for currency, _ in newest], "days": [day for _, day in newest],
            "rates": list(newest.values()), "who": who, "now": now,
        },
    )  # fmt: skip
    return len(newest)


_LAST = text("""
    SELECT wanted.currency, last.day, last.per_euro
    FROM unnest(cast(:currencies AS text[])) AS wanted (currency)
    CROSS JOIN LATERAL (
        SELECT day, per_euro FROM rate
        WHERE workspace_id = :workspace AND rate.currency = wanted.currency AND day BETWEEN :oldest AND :day
        ORDER BY day DESC LIMIT 1
    ) AS last
""")
_KEEP = text("""
    INSERT INTO rate (workspace_id, id, currency, day, per_euro, imported_by, imported_at)
    SELECT :workspace, found.*, :who, :now
    FROM unnest(cast(:ids AS uuid[]), cast(:currencies AS text[]), cast(:days AS date[]), cast(:rates AS numeric[]))
        AS found (id, currency, day, per_euro)
    ON CONFLICT (workspace_id, currency, day) DO UPDATE
    SET per_euro = excluded.per_euro, imported_by = excluded.imported_by, imported_at = excluded.imported_at
""")
