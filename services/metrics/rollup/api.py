"""Decides who can have numbers made again."""

from fastapi import APIRouter

from chassis.db import Session, workspace_of
from chassis.errors import Conflict
from chassis.idempotency import IdempotentRoute
from chassis.identity import scope
from chassis.jobs import defer
from services.metrics.rollup.actions import REBUILD
from services.metrics.rollup.models import Rebuild
from services.metrics.rollup.store import waiting_job

router = APIRouter(route_class=IdempotentRoute, tags=["series"])


@router.post(
    "/v1/numbers/rebuild", status_code=202, dependencies=[scope("jobs:write")], openapi_extra={"x-graph": False}
)
async def rebuild_numbers(session: Session) -> Rebuild:
    """Counts all of the workspace's events anew. They give the same numbers, unless somebody changed tables by hand.
    It is done in one transaction: until then numbers are as they were, and webhooks wait, or are sent again. 409
    `under_way` while one waits or runs."""
    waiting = await waiting_job(session, REBUILD.name)
    if waiting is not None:
        raise Conflict(f"job {waiting} does that already", code="under_way")
    return Rebuild(job_id=await defer(session, REBUILD, workspace_of(session)))
