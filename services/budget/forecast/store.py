"""Decides how what a forecast rests on is read: lines with their money and their late spending, in one query however
many; and what is asked of them."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from chassis.db import workspace_of
from chassis.reading import Reader
from services.budget.forecast.rules import pace_since
from services.budget.ledger.store import POTS

LATEST = datetime.fromisoformat("9999-01-01T00:00:00Z")


async def lines_under(
    reader: Reader, line_ids: Sequence[UUID], day: date, as_of: datetime | None, *, below: bool
) -> Sequence[Any]:
    """Those of these lines that exist, in the order asked for, and where `below` all under them; each with the `root`
    that it is part of, what is on its accounts and what was spent of it `lately`."""
    asked = {"ids": list(dict.fromkeys(line_ids)), "below": below}
    return await _found(reader, _TREE[as_of is None], day, as_of, asked)


async def lines_on(reader: Reader, day: date, as_of: datetime | None, departments: Sequence[str]) -> Sequence[Any]:
    """The lines whose period holds a day, of some departments or of all."""
    return await _found(reader, _PLAN[as_of is None], day, as_of, {"departments": list(departments)})


async def _found(reader: Reader, statement: Any, day: date, as_of: datetime | None, asked: Any) -> Sequence[Any]:
    given = {"workspace": workspace_of(reader), "day": day, "since": pace_since(day), "as_of": as_of or LATEST}
    return await reader.execute(statement, {**given, **asked})


async def undecided(reader: Reader, line_ids: Sequence[UUID], as_of: datetime | None) -> Sequence[Any]:
    """What is asked of these lines and not decided, by line and currency."""
    asked = {"workspace": workspace_of(reader), "lines": list(line_ids)}
    if as_of is None:
        return await reader.execute(_UNDECIDED, asked)
    return await reader.execute(_UNDECIDED_THEN, {**asked, "as_of": as_of})


# What is on a line's accounts now is its balance, and at any instant what its last entry by then left.
_NOW = f"SELECT {', '.join(POTS)} FROM balance WHERE workspace_id = :workspace AND id = line.id"  # noqa: S608
_THEN = f"""
    SELECT {", ".join(f"after_{pot} AS {pot}" for pot in POTS)} FROM entry
    WHERE workspace_id = :workspace AND line_id = line.id AND recorded_at <= :as_of
    ORDER BY recorded_at DESC, seq DESC LIMIT 1
"""  # noqa: S608
_LINE = f"""
    line.id, line.department, line.currency, line.period_start, line.period_end,
    {", ".join(f"coalesce(money.{pot}, 0) AS {pot}" for pot in POTS)}, recent.lately, settled.renewed
"""
# As long as the window, however long the past.
_RECENT = """
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(actual), 0) AS lately FROM entry
        WHERE workspace_id = :workspace AND line_id = line.id AND actual <> 0
            AND booked_on BETWEEN greatest(line.period_start, :since) AND :day AND recorded_at <= :as_of
    ) AS recent
"""
# What was decided last is what holds. A renewal by default still reserves its cost until somebody confirms it.
_SETTLED = """
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(last.next_minor), 0) AS renewed FROM contract
        JOIN LATERAL (
            SELECT next_minor, by_default, term_end FROM contract_decision
            WHERE workspace_id = :workspace AND contract_id = contract.id AND decided_at <= :as_of
            ORDER BY id DESC LIMIT 1
        ) AS last ON NOT last.by_default AND last.term_end > :day AND last.term_end < line.period_end
        WHERE contract.workspace_id = :workspace AND contract.line_id = line.id
    ) AS settled
"""
_UNDER = """
    WITH RECURSIVE tree AS (
        SELECT wanted.key AS root, wanted.place, line.id
        FROM unnest(cast(:ids AS uuid[])) WITH ORDINALITY AS wanted (key, place)
        JOIN line ON line.workspace_id = :workspace AND line.id = wanted.key
        UNION ALL
        SELECT tree.root, tree.place, line.id FROM tree
        JOIN line ON line.workspace_id = :workspace AND line.parent_id = tree.id AND cast(:below AS boolean)
    )
"""
_TREE = {
    now: text(f"""
        {_UNDER} SELECT tree.root, {_LINE} FROM tree JOIN line ON line.workspace_id = :workspace AND line.id = tree.id
        LEFT JOIN LATERAL ({money}) AS money ON true {_RECENT} {_SETTLED} ORDER BY tree.place, line.id
    """)  # noqa: S608
    for now, money in ((True, _NOW), (False, _THEN))
}
_PLAN = {
    now: text(f"""
        SELECT {_LINE} FROM line LEFT JOIN LATERAL ({money}) AS money ON true {_RECENT} {_SETTLED}
        WHERE line.workspace_id = :workspace AND line.period_start <= :day AND line.period_end > :day
            AND (cardinality(cast(:departments AS text[])) = 0 OR line.department = ANY(cast(:departments AS text[])))
        ORDER BY line.department, line.id
    """)  # noqa: S608
    for now, money in ((True, _NOW), (False, _THEN))
}
_ASKED = """
    SELECT i.line_id, r.currency, sum(i.amount) AS minor FROM request_item i
    JOIN request r ON r.workspace_id = i.workspace_id AND r.id = i.request_id
    WHERE i.workspace_id = :workspace AND i.line_id = ANY(:lines) AND {}
    GROUP BY i.line_id, r.currency
"""
_UNDECIDED = text(_ASKED.format("r.state = 'submitted'"))
_UNDECIDED_THEN = text(
    _ASKED.format("""r.submitted_at <= :as_of AND (r.decided_at IS NULL OR r.decided_at > :as_of)
        AND (r.ended_at IS NULL OR r.ended_at > :as_of)""")
)
