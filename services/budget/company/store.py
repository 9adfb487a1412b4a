"""Decides how what is a share of a figure is added up: one query for all figures, and the rates of each currency."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import text

from chassis.db import workspace_of
from chassis.errors import Conflict
from chassis.fields import Money
from chassis.reading import Source
from services.budget.company.models import CompanyShare
from services.budget.company.rules import percent_of
from services.budget.rate import store as rates


async def shares_of(source: Source, figures: Sequence[Any], day: date) -> dict[UUID, CompanyShare | None]:
    """What all lines within each figure's period are of it; None where a rate is missing."""
    asked = {"workspace": workspace_of(source), "ids": [figure.id for figure in figures]}
    sums: dict[UUID, dict[str, Any]] = defaultdict(dict)
    for row in (await source.execute(_SUMS, asked)).all():
        sums[row.id][row.currency] = row
    return {figure.id: await _share(source, figure, sums[figure.id], day) for figure in figures}


async def _share(source: Source, figure: Any, sums: dict[str, Any], day: date) -> CompanyShare | None:
    try:
        known = await rates.rates_of(source, sorted(sums), figure.currency, day) if sums else {}
    except Conflict:
        return None
    planned, actual = (
        sum(known[currency].of(int(getattr(row, name))) for currency, row in sums.items())
        for name in ("planned", "actual")
    )
    return CompanyShare.of(
        None, planned=Money.of_minor(planned, figure.currency), actual=Money.of_minor(actual, figure.currency),
        planned_percent=percent_of(planned, figure.minor), actual_percent=percent_of(actual, figure.minor),
    )  # fmt: skip


_SUMS = text("""
    SELECT figure.id, line.currency, sum(balance.allotted + balance.transferred) AS planned,
        sum(balance.actual) AS actual
    FROM company_figure AS figure
    JOIN line ON line.workspace_id = :workspace AND line.period_start >= figure.period_start
        AND line.period_end <= figure.period_end
    JOIN balance ON balance.workspace_id = :workspace AND balance.id = line.id
    WHERE figure.workspace_id = :workspace AND figure.id = ANY(:ids)
    GROUP BY figure.id, line.currency
""")
