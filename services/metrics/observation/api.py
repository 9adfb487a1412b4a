"""Decides what callers can do with observations."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from sqlalchemy import Boolean, bindparam

from chassis.answers import listed, read_row
from chassis.db import Now, Reading, Session, get_row
from chassis.errors import Conflict, FieldError, Invalid
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Fields, Filter, Listing, Parent, fields_of, listing
from chassis.paging import Groups, Page
from services.metrics.metric.rules import MetricUnit
from services.metrics.metric.store import definitions
from services.metrics.observation.actions import Recorder, Row
from services.metrics.observation.models import (
    ImportAnswer,
    Observation,
    ObservationCorrect,
    ObservationCreate,
    ObservationImport,
    ObservationRead,
    ObservationWithdraw,
    Outcome,
)
from services.metrics.observation.rules import COLUMNS, Line, check_value, read_csv

router = APIRouter(route_class=IdempotentRoute, tags=["observations"])

CSV: dict[str, Any] = {
    "x-graph": False,
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {
                "schema": {
                    "type": "string",
                    "examples": ["metric,day,value,campaign\nweb.visits,2026-03-01,1200,spring-launch\n"],
                },
            }
        },
    },
}
DryRun = Annotated[bool, Query(description="Says what would become of each row, and keeps none.")]


@router.post("/v1/observations", status_code=201, dependencies=[scope("metrics:write")])
async def create_observation(
    create: ObservationCreate, session: Session, who: CurrentPrincipal, now: Now
) -> ObservationRead:
    """Records one figure. 409 `observed` when another holds for the same metric, day, campaign and reference: correct
    that one. The same figure again changes nothing."""
    row = Row(1, create)
    await Recorder(session, who.subject, now).record([row], None)
    if row.outcome is Outcome.REFUSED:
        if {each.code for each in row.errors} == {"observed"}:
            raise Conflict(row.errors[0].message, code="observed")
        raise Invalid(row.errors[0].message, errors=tuple(row.errors))
    assert row.observation_id is not None  # noqa: S101  # what isn't refused holds
    return ObservationRead.of(await get_row(session, Observation, row.observation_id))


@router.post("/v1/observations/import", dependencies=[scope("metrics:write")], openapi_extra={"x-graph": False})
async def import_observations(
    asked: ObservationImport, session: Session, who: CurrentPrincipal, now: Now, dry_run: DryRun = False
) -> ImportAnswer:
    """Records up to 1,000 figures. What is wrong with one is told beside it, and costs the others nothing; what holds
    already is `unchanged`, so that the same again is safe. With `reason`, figures that differ are corrected."""
    rows = [Row(number, create) for number, create in enumerate(asked.rows, 1)]
    return await Recorder(session, who.subject, now).record(rows, asked.reason, dry_run=dry_run)


@router.post("/v1/observations/import-csv", dependencies=[scope("metrics:write")], openapi_extra=CSV)
async def import_observations_csv(
    request: Request,
    session: Session,
    who: CurrentPrincipal,
    now: Now,
    dry_run: DryRun = False,
    reason: Annotated[str | None, Query(max_length=200, description="Why figures that differ are corrected.")] = None,
) -> ImportAnswer:
    """The same from a CSV file in UTF-8, by commas or semicolons. The first line names the columns: metric, day
    (2026-03-01) and value; and currency, campaign (its slug or id), reference, note, as you like."""
    lines = list(read_csv(await request.body()))
    known = await definitions(session, {(line.cells.get("metric", ""), None) for line in lines})
    money = {key for key, metric in known.newest.items() if metric.unit is MetricUnit.MONEY}
    rows = [_row(line, money, {key: each.currency for key, each in known.newest.items()}) for line in lines]
    return await Recorder(session, who.subject, now).record(rows, (reason or "").strip() or None, dry_run=dry_run)


def _row(line: Line, money: set[str], currencies: dict[str, str | None]) -> Row:
    cells = {name: cell for name, cell in line.cells.items() if name in COLUMNS}
    campaign, currency = cells.pop("campaign", None), cells.pop("currency", None)
    given: dict[str, Any] = dict(cells)
    key = cells.get("metric", "")
    if currency or key in money:
        given["money"] = {"amount": given.pop("value", ""), "currency": currency or currencies.get(key)}
    try:
        return Row(line.number, ObservationCreate.model_validate(given), campaign)
    except ValidationError as problem:
        errors = [
            FieldError(_column(each["loc"]), each["type"], each["msg"]) for each in problem.errors(include_url=False)
        ]
        return Row(line.number, None, campaign, errors)


def _column(place: tuple[Any, ...]) -> str:
    """The column of the file that a field comes from."""
    last = str(place[-1]) if place else "row"
    return "value" if last in ("amount", "money") else last


@router.post("/v1/observations/{id}/correct", status_code=201, dependencies=[scope("metrics:write")])
async def correct_observation(
    id: UUID, correct: ObservationCorrect, session: Session, who: CurrentPrincipal, now: Now
) -> ObservationRead:
    """Records what a figure should have been. The earlier one is kept, and so is what was known when. 409 `corrected`
    when it isn't the one that holds."""
    recorder = Recorder(session, who.subject, now)
    held = await recorder.held(id)
    metric = (await definitions(session, [(held.metric, None)])).get(held.metric)
    check_value(metric, correct.figure, correct.currency)
    return ObservationRead.of(await recorder.replace(held, correct.amount, correct.reason))


@router.post("/v1/observations/{id}/withdraw", status_code=201, dependencies=[scope("metrics:write")])
async def withdraw_observation(
    id: UUID, withdraw: ObservationWithdraw, session: Session, who: CurrentPrincipal, now: Now
) -> ObservationRead:
    """Takes a figure back: a correction to nothing."""
    recorder = Recorder(session, who.subject, now)
    return ObservationRead.of(await recorder.replace(await recorder.held(id), None, withdraw.reason))


@router.get("/v1/observations/{id}", dependencies=[scope("metrics:read")])
async def get_observation(id: UUID, reading: Reading, fields: Fields = fields_of(ObservationRead)) -> ObservationRead:
    """One figure."""
    return await read_row(reading, Observation, id, ObservationRead, fields)


HOLDS = Filter(
    "holds", Annotated[bool | None, Query(description="Those that hold, or those that no longer do.")], None,
    Observation.superseded_at,
    (Observation.__table__.c.superseded_at.is_(None)) == bindparam("holds", type_=Boolean()),  # type: ignore[attr-defined]
)  # fmt: skip


@router.get("/v1/observations", dependencies=[scope("metrics:read")])
async def list_observations(
    reading: Reading,
    asked: Listing[ObservationRead] = listing(
        Observation,
        ObservationRead,
        sort=("day", "recorded_at"),
        by=("metric", "day", "recorded_at"),
        parents={"campaign_id": Parent(Observation.campaign_id)},
        also=(HOLDS,),
    ),
) -> Page[ObservationRead] | Groups[ObservationRead]:
    """Figures in the order they were recorded unless sorted otherwise, those that were corrected too. With `limit_per`:
    so many for each campaign."""
    return await listed(reading, asked)
