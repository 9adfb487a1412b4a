"""Decides who may have a person forgotten."""

from fastapi import APIRouter, Request

from chassis.db import Session, workspace_of
from chassis.idempotency import IdempotentRoute
from chassis.identity import scope
from services.budget.person import store
from services.budget.person.models import ErasureCreate, ErasureRead
from services.budget.person.rules import PEOPLE

router = APIRouter(route_class=IdempotentRoute, tags=["people"])


@router.post("/v1/people/erase", dependencies=[scope(PEOPLE, "budget:approve")])
async def erase_person(create: ErasureCreate, request: Request, session: Session) -> ErasureRead:
    """Forgets a name and an address wherever budget has them, for good. Seats stay, as nobody's: what was paid for them
    doesn't change. Named again later, it is a new person."""
    key = store.address_key(request.app.state.settings.secret_key, workspace_of(session))
    return ErasureRead(erased=await store.forget(session, key, create.address))
