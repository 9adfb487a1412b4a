"""Decides how a closed goal is reviewed, and how reviews are read."""

from uuid import UUID

from fastapi import APIRouter

from chassis.answers import listed
from chassis.db import Now, Reading, Session, workspace_of
from chassis.errors import Conflict
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Listing, Parent, listing
from chassis.outbox import record
from chassis.paging import Groups, Page
from services.goals.events import GoalReviewed
from services.goals.goal import store as goals
from services.goals.review import store
from services.goals.review.models import Review, ReviewCreate, ReviewRead

router = APIRouter(route_class=IdempotentRoute, tags=["reviews"])


@router.post("/v1/goals/{id}/review", status_code=201, dependencies=[scope("goals:write")])
async def review_goal(id: UUID, create: ReviewCreate, session: Session, who: CurrentPrincipal, now: Now) -> ReviewRead:
    """Says what was learned from a closed goal. A later review corrects an earlier one, which stays readable. 409
    `open` while the goal is a draft or active."""
    goal = await goals.get_goal(session, id, lock=True)
    if goal.closed_at is None:
        raise Conflict(f"the goal is {goal.state}; it is reviewed when it is closed", code="open")
    review = Review(
        **create.model_dump(), workspace_id=workspace_of(session), goal_id=id, author=who.subject, reviewed_at=now
    )
    await store.add_review(session, goal, review)
    await record(session, GoalReviewed(goal_id=id, review_id=review.id), id, now)
    return ReviewRead.of(review)


@router.get("/v1/reviews", dependencies=[scope("goals:read")])
async def list_reviews(
    reading: Reading,
    asked: Listing[ReviewRead] = listing(Review, ReviewRead, parents={"goal_id": Parent(Review.goal_id)}),
) -> Page[ReviewRead] | Groups[ReviewRead]:
    """What was learned from goals, the oldest review first unless sorted otherwise."""
    return await listed(reading, asked)
