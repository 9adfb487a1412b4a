"""Decides what callers can do with objectives."""

from uuid import UUID

from fastapi import APIRouter

from chassis.answers import page, read_row
from chassis.db import Now, Reading, Session, workspace_of
from chassis.idempotency import IdempotentRoute
from chassis.identity import scope
from chassis.listing import Fields, Listing, fields_of, listing
from chassis.paging import Page
from services.goals.objective import store
from services.goals.objective.models import Objective, ObjectiveCreate, ObjectiveRead

router = APIRouter(route_class=IdempotentRoute, tags=["objectives"])


@router.post("/v1/objectives", status_code=201, dependencies=[scope("goals:write")])
async def create_objective(create: ObjectiveCreate, session: Session, now: Now) -> ObjectiveRead:
    """Names something that the business wants."""
    objective = Objective.model_validate(
        {**create.model_dump(), "workspace_id": workspace_of(session), "created_at": now}
    )
    await store.add_objective(session, objective)
    return ObjectiveRead.of(objective)


@router.get("/v1/objectives/{id}", dependencies=[scope("goals:read")])
async def get_objective(id: UUID, reading: Reading, fields: Fields = fields_of(ObjectiveRead)) -> ObjectiveRead:
    """One objective."""
    return await read_row(reading, Objective, id, ObjectiveRead, fields)


@router.get("/v1/objectives", dependencies=[scope("goals:read")])
async def list_objectives(
    reading: Reading,
    asked: Listing[ObjectiveRead] = listing(
        Objective, ObjectiveRead, sort=("name", "created_at"), by=("stakeholder", "created_at")
    ),
) -> Page[ObjectiveRead]:
    """Objectives, the oldest first unless sorted otherwise."""
    return await page(reading, asked)
