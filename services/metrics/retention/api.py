"""Decides what callers can say of how long data is kept."""

from fastapi import APIRouter

from chassis.db import Session
from chassis.idempotency import IdempotentRoute
from chassis.identity import scope
from services.metrics.retention.models import RetentionRead, RetentionSet
from services.metrics.retention.store import retention_of, set_retention

router = APIRouter(route_class=IdempotentRoute, tags=["people"])


@router.get("/v1/retention", dependencies=[scope("metrics:people")], openapi_extra={"x-graph": False})
async def get_retention(session: Session) -> RetentionRead:
    """How long each kind of data is kept."""
    return RetentionRead(**(await retention_of(session)).model_dump())


@router.post("/v1/retention", dependencies=[scope("jobs:write")], openapi_extra={"x-graph": False})
async def set_retention_days(wanted: RetentionSet, session: Session) -> RetentionRead:
    """Says how long to keep each kind of data (administrators). A job removes what is older once a day."""
    await set_retention(session, wanted)
    return RetentionRead(**wanted.model_dump())
