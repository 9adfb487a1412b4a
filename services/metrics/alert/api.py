"""Decides what callers can do with alerts and with what they found."""

from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter

from chassis.answers import listed, page, read_row
from chassis.db import Now, Reading, Session, add_row, get_row, workspace_of, zone_of
from chassis.editing import IfMatch, edited, held
from chassis.errors import Conflict, Invalid, NotFound
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Fields, Listing, Parent, fields_of, listing
from chassis.paging import Groups, Page
from services.metrics.alert import store
from services.metrics.alert.models import (
    Acknowledge,
    Alert,
    AlertCreate,
    AlertPatch,
    AlertRead,
    Finding,
    FindingRead,
)
from services.metrics.alert.rules import AlertState
from services.metrics.metric.rules import Definition
from services.metrics.metric.store import definitions
from services.metrics.observation.store import campaigns_by_id_or_slug
from services.metrics.series.rules import check_grain

router = APIRouter(route_class=IdempotentRoute, tags=["alerts"])

# All of a workspace's are looked at in one go.
MOST_ALERTS = 200


async def _metric(session: Session, key: str) -> Definition:
    try:
        metric = (await definitions(session, [(key, None)])).get(key)
    except NotFound as problem:
        raise Invalid.field("metric", problem.detail, "unknown") from None
    if metric.retired_at is not None:
        raise Invalid.field("metric", f"{key} is retired", "retired")
    return metric


async def _check_campaigns(session: Session, campaign_ids: list[UUID]) -> None:
    """Invalid for campaigns that aren't known here: what is watched of them could never be found."""
    named = {str(each) for each in campaign_ids}
    unknown = sorted(named - (await campaigns_by_id_or_slug(session, named)).keys()) if named else []
    if unknown:
        raise Invalid.field("campaign_ids", f"no campaign {unknown[0]}", "unknown")


@router.post("/v1/alerts", status_code=201, dependencies=[scope("metrics:write")])
async def create_alert(create: AlertCreate, session: Session, now: Now) -> AlertRead:
    """Watches a metric from now on. A period is judged when all of it is known, and at once where a count is above the
    line; each is told once, as `metrics.threshold.crossed` or `metrics.anomaly.found`."""
    check_grain(create.grain, (await _metric(session, create.metric)).grain)
    await _check_campaigns(session, create.campaign_ids)
    if await store.count_alerts(session) >= MOST_ALERTS:
        raise Conflict(f"{MOST_ALERTS} alerts are the most", code="too_many")
    since = now.astimezone(ZoneInfo(await zone_of(session))).date()
    alert = Alert.model_validate(
        {
            **create.model_dump(), "workspace_id": workspace_of(session), "state": AlertState.ACTIVE,
            "since": since, "created_at": now,
        }
    )  # fmt: skip
    await add_row(session, alert)
    await store.watch(session)
    return AlertRead.of(alert)


@router.patch("/v1/alerts/{id}", dependencies=[scope("metrics:write")])
async def update_alert(id: UUID, patch: AlertPatch, if_match: IfMatch, session: Session) -> AlertRead:
    """Changes what is sent and leaves the rest. What was told isn't told again."""
    alert = await held(session, Alert, id, if_match)
    wanted = edited(AlertCreate, AlertRead.of(alert), patch)
    await _check_campaigns(session, wanted.campaign_ids)
    alert.sqlmodel_update(wanted.model_dump())
    await session.flush()
    await store.watch(session)
    return AlertRead.of(alert)


@router.post("/v1/alerts/{id}/pause", dependencies=[scope("metrics:write")])
async def pause_alert(id: UUID, if_match: IfMatch, session: Session) -> AlertRead:
    """Looks away until it is resumed."""
    alert = await held(session, Alert, id, if_match)
    alert.state = AlertState.PAUSED
    await session.flush()
    return AlertRead.of(alert)


@router.post("/v1/alerts/{id}/resume", dependencies=[scope("metrics:write")])
async def resume_alert(id: UUID, if_match: IfMatch, session: Session) -> AlertRead:
    """Looks again."""
    alert = await held(session, Alert, id, if_match)
    alert.state = AlertState.ACTIVE
    await session.flush()
    await store.watch(session)
    return AlertRead.of(alert)


@router.delete("/v1/alerts/{id}", dependencies=[scope("metrics:write")])
async def delete_alert(id: UUID, if_match: IfMatch, session: Session) -> AlertRead:
    """Takes an alert away, with all that it found. What was told to others stays told."""
    alert = await held(session, Alert, id, if_match)
    answer = AlertRead.of(alert)
    await store.drop_alert(session, alert)
    return answer


@router.get("/v1/alerts/{id}", dependencies=[scope("metrics:read")])
async def get_alert(id: UUID, reading: Reading, fields: Fields = fields_of(AlertRead)) -> AlertRead:
    """One alert."""
    return await read_row(reading, Alert, id, AlertRead, fields)


@router.get("/v1/alerts", dependencies=[scope("metrics:read")])
async def list_alerts(
    reading: Reading,
    asked: Listing[AlertRead] = listing(Alert, AlertRead, sort=("name", "created_at"), by=("metric", "state")),
) -> Page[AlertRead]:
    """Alerts, the oldest first unless sorted otherwise."""
    return await page(reading, asked)


@router.get("/v1/findings/{id}", dependencies=[scope("metrics:read")])
async def get_finding(id: UUID, reading: Reading, fields: Fields = fields_of(FindingRead)) -> FindingRead:
    """One point that was told."""
    return await read_row(reading, Finding, id, FindingRead, fields)


@router.get("/v1/findings", dependencies=[scope("metrics:read")])
async def list_findings(
    reading: Reading,
    asked: Listing[FindingRead] = listing(
        Finding,
        FindingRead,
        sort=("start", "found_at"),
        by=("start", "found_at", "acknowledged_at"),
        parents={"alert_id": Parent(Finding.alert_id)},
    ),
) -> Page[FindingRead] | Groups[FindingRead]:
    """Points that were told, the oldest first unless sorted otherwise. With `limit_per`: so many for each alert."""
    return await listed(reading, asked)


@router.post("/v1/findings/{id}/acknowledge", dependencies=[scope("metrics:write")])
async def acknowledge_finding(
    id: UUID, acknowledge: Acknowledge, session: Session, who: CurrentPrincipal, now: Now
) -> FindingRead:
    """Says that somebody knows. 409 `acknowledged` when somebody did before."""
    finding = await get_row(session, Finding, id, lock=True)
    if finding.acknowledged_at is not None:
        raise Conflict(f"{finding.acknowledged_by} did before", code="acknowledged")
    finding.acknowledged_at, finding.acknowledged_by, finding.note = now, who.subject, acknowledge.note
    await session.flush()
    return FindingRead.of(finding)
