"""Decides how requests, their items and decisions are read and written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from chassis.fields import Interval, Money, new_id
from chassis.reading import Source, plain
from services.budget.request.models import (
    Alternative,
    Decision,
    DecisionDelay,
    RequestItem,
    RequestPart,
    SpendRequest,
)
from services.budget.request.rules import RequestState


async def keep_items(session: AsyncSession, request: SpendRequest, parts: Sequence[RequestPart]) -> None:
    """Puts these in place of what there was."""
    await session.execute(
        text("DELETE FROM request_item WHERE workspace_id = :workspace AND request_id = :request"),
        {"workspace": request.workspace_id, "request": request.id},
    )
    for part in parts:
        period = part.period
        session.add(
            RequestItem(
                workspace_id=request.workspace_id, request_id=request.id, line_id=part.line_id,
                amount=part.amount.minor, description=part.description, start=period.start if period else None,
                finish=period.end if period else None,
            )
        )  # fmt: skip
    await session.flush()


async def items_of(source: Source, request_ids: Sequence[UUID]) -> list[Any]:
    """Items of requests with their line's currency, in the order in which lines are locked."""
    return list((await source.execute(_ITEMS, {"workspace": workspace_of(source), "ids": list(request_ids)})).all())


async def parts_of(source: Source, requests: Sequence[Any]) -> Mapping[UUID, list[RequestPart]]:
    """What of each request is for which line, where it is split."""
    found: dict[UUID, list[RequestPart]] = {request.id: [] for request in requests}
    split = {request.id: request.currency for request in requests if request.itemised}
    for row in sorted(await items_of(source, list(split)), key=lambda row: row.id) if split else ():
        period = Interval.of(row.start, row.finish) if row.start else None
        money = Money.of_minor(row.amount, split[row.request_id])
        part = RequestPart.model_construct(
            line_id=row.line_id, amount=money, description=row.description, period=period
        )
        found[row.request_id].append(part)
    return found


async def lock_requests(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, Any]:
    """Requests as they are, which nobody else changes until this transaction ends; in the order of their ids, so that
    no two transactions wait for each other. They have a row's properties and aren't watched by the session."""
    asked = {"workspace": workspace_of(session), "ids": list(ids)}
    found = {}
    for record in (await session.execute(_LOCK, asked)).mappings():
        row = object.__new__(plain(SpendRequest))
        row.__dict__ = {**record, "state": RequestState(record["state"])}
        found[row.id] = row
    return found


async def keep_decided(session: AsyncSession, requests: Sequence[Any], decisions: Sequence[Mapping[str, Any]]) -> None:
    """Writes down decisions and what they make of requests that this transaction has locked, in one statement."""
    values = {
        "requests": to_json([{name: getattr(row, name) for name in ("id", *DECIDED)} for row in requests]).decode(),
        "decisions": to_json(decisions).decode(),
    }
    await session.execute(_DECIDED, {"workspace": workspace_of(session), **values})


@dataclass
class Passed:
    """Who has decided on a layer of a request, themselves or through who stood in for them; and which layers."""

    deciders: set[str] = field(default_factory=set)
    bands: set[UUID] = field(default_factory=set)


async def passed_of(session: AsyncSession, request_ids: Sequence[UUID]) -> dict[UUID, Passed]:
    """What each of these requests has passed."""
    found: dict[UUID, Passed] = {each: Passed() for each in request_ids}
    if not found:
        return found
    rows = await session.execute(
        text("""SELECT request_id, band_id, decided_by, in_place_of FROM decision
                WHERE workspace_id = :workspace AND request_id = ANY(:requests)"""),
        {"workspace": workspace_of(session), "requests": list(request_ids)},
    )
    for row in rows.all():
        found[row.request_id].deciders |= {name for name in (row.decided_by, row.in_place_of) if name}
        found[row.request_id].bands |= {row.band_id} - {None}
    return found


async def next_po_number(session: AsyncSession) -> str:
    """The next of our own purchase order numbers that nobody has given an order; whoever asks meanwhile waits, so that
    none is left out."""
    asked = {"workspace": workspace_of(session), "id": new_id(), "name": "purchase order"}
    while True:
        number = f"PO-{await session.scalar(_COUNT, asked):06}"
        if await session.scalar(_IS_TAKEN, {**asked, "number": number}) is None:
            return number


async def rooms(
    source: Source, *, currency: str, needed: int, but: UUID, department: str, campaign_id: UUID | None,
    from_day: date | None = None,
) -> list[Alternative]:  # fmt: skip
    """Lines with at least so much available; of the department alone, and from a day on, where one is given."""
    rows = await source.execute(
        _ROOMS,
        {
            "workspace": workspace_of(source), "currency": currency, "needed": needed, "but": but,
            "department": department, "campaign": campaign_id, "from_day": from_day,
        },
    )  # fmt: skip
    return [
        Alternative(
            line_id=row.id, name=row.name, period=Interval.of(row.period_start, row.period_end),
            available=Money.of_minor(int(row.available), currency),
        )
        for row in rows.all()
    ]  # fmt: skip


async def delays(source: Source, first: datetime, last: datetime) -> list[DecisionDelay]:
    """How long requests waited in each layer, of what was decided between two instants."""
    asked = {"workspace": workspace_of(source), "first": first, "last": last}
    return [DecisionDelay.of(row) for row in (await source.execute(_DELAYS, asked)).all()]


async def due_requests(session: AsyncSession, now: datetime, most: int) -> list[tuple[UUID, UUID]]:
    """Workspace and id of approved requests that nobody has committed in time (worker transaction)."""
    rows = await session.execute(
        text("SELECT workspace_id, id FROM request WHERE state = 'approved' AND expires_at <= :now LIMIT :most"),
        {"now": now, "most": most},
    )
    return [(row.workspace_id, row.id) for row in rows.all()]


async def unordered_of(session: AsyncSession, campaign_id: UUID) -> list[UUID]:
    """Requests for a campaign, or for a line of it, that no order was placed for."""
    rows = await session.scalars(
        text("""
            SELECT id FROM request WHERE workspace_id = :workspace AND campaign_id = :campaign
                AND state IN ('draft', 'submitted', 'approved')
            UNION
            SELECT r.id FROM line l JOIN request_item i ON i.workspace_id = l.workspace_id AND i.line_id = l.id
            JOIN request r ON r.workspace_id = l.workspace_id AND r.id = i.request_id
            WHERE l.workspace_id = :workspace AND l.campaign_id = :campaign
                AND r.state IN ('draft', 'submitted', 'approved')
            ORDER BY id
        """),
        {"workspace": workspace_of(session), "campaign": campaign_id},
    )
    return list(rows.all())


async def orders_of(session: AsyncSession, line_id: UUID, vendor: str) -> list[UUID]:
    """Orders placed with a vendor on a line that aren't closed, of which an invoice may be."""
    rows = await session.scalars(
        text("""
            SELECT DISTINCT r.id FROM request_item i JOIN request r ON r.workspace_id = i.workspace_id
                AND r.id = i.request_id
            WHERE i.workspace_id = :workspace AND i.line_id = :line AND lower(r.vendor) = lower(:vendor)
                AND r.state IN ('committed', 'part_invoiced')
            LIMIT 2
        """),
        {"workspace": workspace_of(session), "line": line_id, "vendor": vendor},
    )
    return list(rows.all())


_COUNT = text("""
    INSERT INTO counter (workspace_id, id, name, value) VALUES (:workspace, :id, :name, 1)
    ON CONFLICT (workspace_id, name) DO UPDATE SET value = counter.value + 1 RETURNING value
""")
_IS_TAKEN = text("SELECT true FROM request WHERE workspace_id = :workspace AND po_number = :number")
# What a decision changes of a request.
DECIDED = ("state", "reason", "layers_done", "waiting_since", "decided_at", "decided_by", "decision_seconds",
           "expires_at", "ended_at", "version")  # fmt: skip
_LOCK = text("SELECT * FROM request WHERE workspace_id = :workspace AND id = ANY(:ids) ORDER BY id FOR UPDATE")
_DECISION = ", ".join(vars(Decision)["__table__"].columns.keys())
_DECIDED = text(f"""
    WITH decided AS (
        UPDATE request SET {", ".join(f"{name} = given.{name}" for name in DECIDED)}
        FROM json_populate_recordset(cast(null AS request), cast(:requests AS json)) AS given
        WHERE request.workspace_id = :workspace AND request.id = given.id
    )
    INSERT INTO decision ({_DECISION})
    SELECT {_DECISION} FROM json_populate_recordset(cast(null AS decision), cast(:decisions AS json))
""")  # noqa: S608
_ITEMS = text("""
    SELECT i.id, i.request_id, i.line_id, i.amount, i.description, i.start, i.finish, l.currency AS line_currency
    FROM request_item i JOIN line l ON l.workspace_id = i.workspace_id AND l.id = i.line_id
    WHERE i.workspace_id = :workspace AND i.request_id = ANY(:ids) ORDER BY i.line_id, i.id
""")
_ROOMS = text("""
    SELECT l.id, l.name, l.period_start, l.period_end,
        b.allotted + b.transferred - b.reserved - b.committed - b.actual AS available
    FROM line l JOIN balance b ON b.workspace_id = l.workspace_id AND b.id = l.id
    WHERE l.workspace_id = :workspace AND l.currency = :currency AND l.id <> :but
        AND b.allotted + b.transferred - b.reserved - b.committed - b.actual >= :needed
        AND (cast(:from_day AS date) IS NULL OR l.department = :department AND l.period_start >= :from_day)
    ORDER BY l.campaign_id IS NOT DISTINCT FROM cast(:campaign AS uuid) DESC, l.department = :department DESC,
        l.period_start, l.id
    LIMIT 5
""")
_DELAYS = text("""
    SELECT layer, band_name, count(*) AS decisions, count(*) FILTER (WHERE verdict = 'rejected') AS rejected,
        cast(avg(seconds) AS bigint) AS mean_seconds,
        cast(percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS bigint) AS median_seconds,
        cast(percentile_cont(0.9) WITHIN GROUP (ORDER BY seconds) AS bigint) AS p90_seconds
    FROM decision WHERE workspace_id = :workspace AND decided_at >= :first AND decided_at < :last
    GROUP BY layer, band_name ORDER BY layer, band_name
""")
