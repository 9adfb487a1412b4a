"""Decides which slices make up the goals service."""

from chassis.service import create_service
from services.goals.campaign import api as campaign
from services.goals.campaign.actions import FOLLOW_DATES
from services.goals.db import METADATA
from services.goals.evaluation import api as evaluation
from services.goals.evaluation.actions import EVALUATE
from services.goals.evaluation.thinning import THIN
from services.goals.events import CONSUMES
from services.goals.goal import api as goal
from services.goals.objective import api as objective
from services.goals.override import api as override
from services.goals.review import api as review
from services.goals.revision import api as revision
from services.goals.upstream import asking

app = create_service(
    "goals",
    campaign.router,
    objective.router,
    goal.router,
    evaluation.router,
    override.router,
    revision.router,
    review.router,
    metadata=METADATA,
    description="Campaigns, objectives and SMART goals that are judged by what metrics measures.",
    consumes=CONSUMES,
    jobs=(EVALUATE, THIN, FOLLOW_DATES),
    resources=(asking,),
)
