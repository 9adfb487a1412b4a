"""Decides what callers can do with campaigns."""

from uuid import UUID

from fastapi import APIRouter

from chassis.db import Now, Reading, Session, workspace_of
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Fields, Listing, fields_of, listing
from chassis.outbox import record
from chassis.paging import Page, page, read_row
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
    return CampaignRead.of(campaign, goal_ids=[])


@router.get("/v1/campaigns/{id}", dependencies=[scope("goals:read")])
async def get_campaign(id: UUID, reading: Reading, fields: Fields = fields_of(CampaignRead)) -> CampaignRead:
    """One campaign."""
    return await read_row(reading, Campaign, id, CampaignRead, fields, goal_ids=goals_of)


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
    return await page(reading, asked, goal_ids=goals_of)
