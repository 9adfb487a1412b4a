"""Decides whether what is kept of the ledger is what its entries add up to: balances, sums along the way, what is held,
transfers."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text

from chassis.db import workspace_of
from chassis.reading import Reader
from services.budget.ledger.store import POTS

_SUMS = {pot: f"after_{pot} IS DISTINCT FROM sum({pot}) OVER (PARTITION BY line_id ORDER BY seq)" for pot in POTS}
_SUMS["price"] = f"after_price IS NOT NULL AND {_SUMS['price']}"
_RUNS = " OR ".join(_SUMS.values())
_CHECK = text(f"""
    WITH run AS (
        SELECT line_id, {", ".join(POTS)}, {_RUNS} AS wrong FROM entry WHERE workspace_id = :workspace
    ), total AS (
        SELECT line_id, count(*) AS entries, bool_or(wrong) AS wrong, {", ".join(f"sum({p}) AS {p}" for p in POTS)}
        FROM run GROUP BY line_id
    ), held AS (
        SELECT line_id, coalesce(sum(amount) FILTER (WHERE state = 'reserved'), 0) AS reserved,
            coalesce(sum(amount) FILTER (WHERE state = 'committed'), 0) AS committed
        FROM hold WHERE workspace_id = :workspace AND state IN ('reserved', 'committed') GROUP BY line_id
    ), moved AS (
        SELECT movement_id FROM entry WHERE workspace_id = :workspace
        GROUP BY movement_id
        HAVING bool_or(transferred <> 0) AND (sum(original_minor) <> 0 OR count(DISTINCT original_currency) > 1)
    ), line AS (
        SELECT b.id, b.stops AND b.allotted + b.transferred - b.reserved - b.committed - b.actual < 0 AS below,
            ({", ".join(f"b.{p}" for p in POTS)}) IS DISTINCT FROM
                ({", ".join(f"coalesce(t.{p}, 0)" for p in POTS)}) AS wrong,
            coalesce(t.wrong, false) AS wrong_run, coalesce(t.entries, 0) AS entries,
            (b.reserved, b.committed) IS DISTINCT FROM (coalesce(h.reserved, 0), coalesce(h.committed, 0)) AS wrong_hold
        FROM balance b LEFT JOIN total t ON t.line_id = b.id LEFT JOIN held h ON h.line_id = b.id
        WHERE b.workspace_id = :workspace
    )
    SELECT count(*) AS lines, cast(coalesce(sum(entries), 0) AS bigint) AS entries,
        coalesce(array_agg(id) FILTER (WHERE wrong), '{{}}') AS wrong_balances,
        coalesce(array_agg(id) FILTER (WHERE wrong_run), '{{}}') AS wrong_runs,
        coalesce(array_agg(id) FILTER (WHERE wrong_hold), '{{}}') AS wrong_holds,
        coalesce(array_agg(id) FILTER (WHERE below), '{{}}') AS below_zero,
        (SELECT coalesce(array_agg(movement_id), '{{}}') FROM moved) AS unbalanced_transfers
    FROM line
""")  # noqa: S608


async def check(reader: Reader) -> Mapping[str, Any]:
    """What an administrator wants to be nothing; reads every entry of the workspace."""
    return dict((await reader.execute(_CHECK, {"workspace": workspace_of(reader)}))[0])
