"""Decides what callers can do with campaigns."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from chassis.db import Now, Session, workspace_of
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.outbox import record
from chassis.paging import Ids, Listing, Page, listing, page
from services.goals.campaign import store
from services.goals.campaign.models import Campaign, CampaignCreate, CampaignRead
from services.goals.campaign.rules import CampaignState
from services.goals.events import CampaignCreated
from services.goals.goal.store import goals_of

router = APIRouter(route_class=IdempotentRoute, tags=["campaigns"])


@router.post("/v1/campaigns", status_code=201, dependencies=[scope("goals:write")])
async def create_campaign(create: CampaignCreate, session: Session, who: CurrentPrincipal, now: Now) -> CampaignRead:
    """Starts a campaign as an idea. E-mail events tagged with its slug count for it from now on, earlier ones too."""
    campaign = Campaign.model_validate(
        {
            **create.model_dump(exclude={"flight", "owner"}),
            "workspace_id": workspace_of(session),
            "flight_start": create.flight.start,
            "flight_end": create.flight.end,
            "owner": create.owner or who.subject,
            "state": CampaignState.IDEA,
            "created_at": now,
        }
    )
    await store.add_campaign(session, campaign)
    event = CampaignCreated(campaign_id=campaign.id, slug=campaign.slug, name=campaign.name)
    await record(session, event, campaign.id, now)
    return CampaignRead.of(campaign, [])


@router.get("/v1/campaigns/{id}", dependencies=[scope("goals:read")])
async def get_campaign(id: UUID, session: Session) -> CampaignRead:
    """One campaign."""
    campaign = await store.get_campaign(session, id)
    return CampaignRead.of(campaign, (await goals_of(session, [id]))[id])


@router.get("/v1/campaigns", dependencies=[scope("goals:read")])
async def list_campaigns(
    session: Session,
    id: Ids = [],
    slug: Annotated[list[str], Query(max_length=200)] = [],
    state: Annotated[list[CampaignState], Query()] = [],
    asked: Listing = listing("name", "flight_start", "created_at"),
) -> Page[CampaignRead]:
    """Campaigns, the oldest first unless sorted otherwise."""
    rows, next_cursor = await page(session, Campaign, store.select_campaigns(id, slug, state), asked)
    goal_ids = await goals_of(session, [row.id for row in rows])
    return Page(items=[CampaignRead.of(row, goal_ids[row.id]) for row in rows], next_cursor=next_cursor)
