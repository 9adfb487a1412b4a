"""Decides which slices make up the goals service."""

from chassis.service import create_service
from services.goals.campaign import api as campaign
from services.goals.db import METADATA
from services.goals.events import CONSUMES

app = create_service(
    "goals",
    campaign.router,
    metadata=METADATA,
    description="Campaigns, objectives and SMART goals that are judged by what metrics measures.",
    consumes=CONSUMES,
)
