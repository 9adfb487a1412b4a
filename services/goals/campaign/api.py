"""Decides what callers can do with campaigns."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.answers import Derive, by_id, page, read_of, read_row
from chassis.db import Now, Reading, Session, workspace_of
from chassis.editing import IfMatch, Match, edited, held
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, Principal, scope
from chassis.listing import Fields, Listing, fields_of, listing
from chassis.outbox import record
from chassis.paging import Page
from services.goals.campaign import store
from services.goals.campaign.actions import bring_to, follow_dates
from services.goals.campaign.models import (
    Campaign,
    CampaignCancel,
    CampaignChanged,
    CampaignCreate,
    CampaignCreated,
    CampaignPatch,
    CampaignPause,
    CampaignRead,
)
from services.goals.campaign.rules import (
    DATED,
    CampaignState,
    CampaignVerb,
    assert_ahead,
    assert_editable,
    assert_movable,
    assert_serves,
    moved,
)
from services.goals.goal.store import goals_of

router = APIRouter(route_class=IdempotentRoute, tags=["campaigns"])


DERIVED: Mapping[str, Derive] = {"goal_ids": by_id(goals_of), "confirmations": store.confirmations_of}


@router.post("/v1/campaigns", status_code=201, dependencies=[scope("goals:write")])
async def create_campaign(create: CampaignCreate, session: Session, who: CurrentPrincipal, now: Now) -> CampaignRead:
    """Starts a campaign as an idea. E-mail events tagged with its slug count for it from now on, earlier ones too."""
    row = {**create.columns(who.subject), "workspace_id": workspace_of(session), "created_at": now}
    campaign = Campaign.model_validate({**row, "state": CampaignState.IDEA})
    await store.add_campaign(session, campaign)
    event = CampaignCreated(campaign_id=campaign.id, slug=campaign.slug, name=campaign.name)
    await record(session, event, campaign.id, now)
    return CampaignRead.of(campaign, goal_ids=[], confirmations=[])


@router.get("/v1/campaigns/{id}", dependencies=[scope("goals:read")])
async def get_campaign(id: UUID, reading: Reading, fields: Fields = fields_of(CampaignRead)) -> CampaignRead:
    """One campaign."""
    return await read_row(reading, Campaign, id, CampaignRead, fields, **DERIVED)


@router.get("/v1/campaigns", dependencies=[scope("goals:read")])
async def list_campaigns(
    reading: Reading,
    asked: Listing[CampaignRead] = listing(
        Campaign,
        CampaignRead,
        sort=("name", "flight_start", "flight_end", "created_at"),
        by=("slug", "state", "owner", "flight_start", "flight_end", "created_at"),
    ),
) -> Page[CampaignRead]:
    """Campaigns, the oldest first unless sorted otherwise."""
    return await page(reading, asked, **DERIVED)


@router.patch("/v1/campaigns/{id}", dependencies=[scope("goals:write")])
async def update_campaign(
    id: UUID, patch: CampaignPatch, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> CampaignRead:
    """Changes what is sent and leaves the rest. When the flight moves, all that hangs on it is told, and a campaign
    that is approved goes live if the day has come. 409 `closed` once it is over."""
    campaign = await held(session, Campaign, id, if_match)
    assert_editable(campaign.state)
    read = await read_of(session, CampaignRead, campaign, **DERIVED)
    today, before = await store.today_of(session, now), campaign.days
    campaign.sqlmodel_update(edited(CampaignCreate, read, patch).columns(who.subject))
    assert_movable(campaign.state, before, campaign.days, today)
    if session.is_modified(campaign):
        await session.flush()
        moved_to = campaign.flight if campaign.days != before else None
        await record(session, CampaignChanged(campaign_id=id, name=campaign.name, flight=moved_to), id, now)
        await follow_dates(session, campaign, who.subject, now)
    return await read_of(session, CampaignRead, campaign, **DERIVED)


async def _move(
    session: AsyncSession, campaign_id: UUID, verb: CampaignVerb, if_match: Match, who: Principal, now: datetime,
    reason: str | None = None,
) -> CampaignRead:  # fmt: skip
    campaign = await held(session, Campaign, campaign_id, if_match)
    state = moved(campaign.state, verb)
    if state is CampaignState.PLANNED:
        assert_serves(len((await goals_of(session, [campaign_id]))[campaign_id]))
    if state in DATED:
        assert_ahead(campaign.days, await store.today_of(session, now))
    await bring_to(session, campaign, state, who.subject, now, reason)
    await follow_dates(session, campaign, who.subject, now)
    return await read_of(session, CampaignRead, campaign, **DERIVED)


@router.post("/v1/campaigns/{id}/plan", dependencies=[scope("goals:write")])
async def plan_campaign(id: UUID, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now) -> CampaignRead:
    """Makes an idea a plan. 409 `no_goal` unless a goal is measured over it."""
    return await _move(session, id, CampaignVerb.PLAN, if_match, who, now)


@router.post("/v1/campaigns/{id}/approve", dependencies=[scope("goals:approve")])
async def approve_campaign(
    id: UUID, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> CampaignRead:
    """Approves a plan. It goes live when its flight starts: at once, if it has. 409 `flight_over` if it has ended."""
    return await _move(session, id, CampaignVerb.APPROVE, if_match, who, now)


@router.post("/v1/campaigns/{id}/pause", dependencies=[scope("goals:write")])
async def pause_campaign(
    id: UUID, pause: CampaignPause, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> CampaignRead:
    """Halts a live campaign, until it is resumed or its flight ends."""
    return await _move(session, id, CampaignVerb.PAUSE, if_match, who, now, pause.reason)


@router.post("/v1/campaigns/{id}/resume", dependencies=[scope("goals:write")])
async def resume_campaign(
    id: UUID, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> CampaignRead:
    """Lets a paused campaign go on."""
    return await _move(session, id, CampaignVerb.RESUME, if_match, who, now)


@router.post("/v1/campaigns/{id}/complete", dependencies=[scope("goals:write")])
async def complete_campaign(
    id: UUID, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> CampaignRead:
    """Ends a campaign before its flight does."""
    return await _move(session, id, CampaignVerb.COMPLETE, if_match, who, now)


@router.post("/v1/campaigns/{id}/archive", dependencies=[scope("goals:write")])
async def archive_campaign(
    id: UUID, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> CampaignRead:
    """Puts a completed campaign away."""
    return await _move(session, id, CampaignVerb.ARCHIVE, if_match, who, now)


@router.post("/v1/campaigns/{id}/cancel", dependencies=[scope("goals:approve")])
async def cancel_campaign(
    id: UUID, cancel: CampaignCancel, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> CampaignRead:
    """Gives a campaign up, for good. What other parts hold for it they release; `confirmations` shows which have."""
    return await _move(session, id, CampaignVerb.CANCEL, if_match, who, now, cancel.reason)
