"""Decides who settles what holds for all spending of a workspace."""

from fastapi import APIRouter

from chassis.db import Reading, Session
from chassis.editing import IfMatch, edited
from chassis.errors import Invalid
from chassis.idempotency import IdempotentRoute
from chassis.identity import scope
from services.budget.plan import store as plan
from services.budget.policy import store
from services.budget.policy.models import PolicyCreate, PolicyPatch, PolicyRead

router = APIRouter(route_class=IdempotentRoute, tags=["spending policy"])


@router.get("/v1/spending-policy", dependencies=[scope("budget:read")])
async def get_spending_policy(reading: Reading) -> PolicyRead:
    """What holds for all spending."""
    return PolicyRead.of(await store.policy_of(reading))


@router.patch("/v1/spending-policy", dependencies=[scope("budget:approve")])
async def update_spending_policy(patch: PolicyPatch, if_match: IfMatch, session: Session) -> PolicyRead:
    """Changes what is sent and leaves the rest."""
    policy = await store.own_policy(session)
    if_match.check(policy)
    wanted = edited(PolicyCreate, PolicyRead.of(policy), patch)
    if wanted.reserve_line_id is not None and not await plan.is_line(session, wanted.reserve_line_id):
        raise Invalid.field("reserve_line_id", f"no line {wanted.reserve_line_id}", "unknown")
    policy.sqlmodel_update(wanted.model_dump())
    await session.flush()
    return PolicyRead.of(policy)
