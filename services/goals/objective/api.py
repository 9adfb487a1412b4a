"""Decides what callers can do with objectives."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from chassis.db import Now, Session, workspace_of
from chassis.idempotency import IdempotentRoute
from chassis.identity import scope
from chassis.paging import Ids, Listing, Page, listing, page
from services.goals.objective import store
from services.goals.objective.models import Objective, ObjectiveCreate, ObjectiveRead
from services.goals.objective.rules import Stakeholder

router = APIRouter(route_class=IdempotentRoute, tags=["objectives"])


@router.post("/v1/objectives", status_code=201, dependencies=[scope("goals:write")])
async def create_objective(create: ObjectiveCreate, session: Session, now: Now) -> ObjectiveRead:
    """Names something that the business wants."""
    objective = Objective.model_validate(
        {**create.model_dump(), "workspace_id": workspace_of(session), "created_at": now}
    )
    await store.add_objective(session, objective)
    return ObjectiveRead.model_validate(objective)


@router.get("/v1/objectives/{id}", dependencies=[scope("goals:read")])
async def get_objective(id: UUID, session: Session) -> ObjectiveRead:
    """One objective."""
    return ObjectiveRead.model_validate(await store.get_objective(session, id))


@router.get("/v1/objectives", dependencies=[scope("goals:read")])
async def list_objectives(
    session: Session,
    id: Ids = [],
    stakeholder: Annotated[list[Stakeholder], Query()] = [],
    asked: Listing = listing("name", "created_at"),
) -> Page[ObjectiveRead]:
    """Objectives, the oldest first unless sorted otherwise."""
    rows, next_cursor = await page(session, Objective, store.select_objectives(id, stakeholder), asked)
    return Page(items=[ObjectiveRead.model_validate(row) for row in rows], next_cursor=next_cursor)
