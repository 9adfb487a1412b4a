"""Decides how a workspace's admins have other systems told of what happens."""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from fastapi import APIRouter, Request

from chassis.answers import page, read_row
from chassis.db import Now, Reading, Session, add_row, get_row, workspace_of
from chassis.editing import IfMatch, edited, held
from chassis.errors import Conflict, Invalid
from chassis.fields import new_id
from chassis.idempotency import IdempotentRoute
from chassis.identity import scope
from chassis.inbox import Incoming
from chassis.listing import Fields, Listing, fields_of, listing
from chassis.outside import Outside, RefusedError
from chassis.paging import Page
from gateway.delivery import store as deliveries
from gateway.delivery.models import Delivery, DeliveryRead
from gateway.endpoint import store
from gateway.endpoint.models import (
    Endpoint,
    EndpointCreate,
    EndpointPatch,
    EndpointRead,
    EndpointReplay,
    EndpointReplayed,
    EndpointRotate,
    EndpointSecret,
)
from gateway.endpoint.rules import (
    EndpointState,
    assert_active,
    meaningless,
    new_secret,
    patterns_of,
    refuse_beyond,
    shown,
)
from gateway.events import EndpointTested
from gateway.happening import store as happenings
from gateway.happening.catalog import happening_types
from gateway.happening.rules import heard_by
from gateway.identity.standing import STANDING, Administrator

router = APIRouter(route_class=IdempotentRoute, tags=["endpoints"])


def _assert_sensible(request: Request, wanted: EndpointCreate, parts: Collection[str]) -> None:
    """Invalid for a place that nobody may be sent to, and for what names no event that it could be told of."""
    outside: Outside = request.app.state.outside
    try:
        outside.check(wanted.url)
    except RefusedError as problem:
        raise Invalid.field("url", str(problem), "refused") from None
    known = [name for name, each in happening_types().items() if each.part in parts]
    for place in meaningless(wanted.types, known):
        words = "this names no event that you may hear of; /v1/happening-types lists them"
        raise Invalid.field(f"types.{place}", words, "unknown")


def _with_secret(endpoint: Endpoint, secret: bytes) -> EndpointSecret:
    return EndpointSecret(**EndpointRead.of(endpoint).model_dump(), secret=shown(secret))


@router.post("/v1/endpoints", status_code=201, dependencies=[scope("identity:write")])
async def create_endpoint(
    create: EndpointCreate, request: Request, session: Session, caller: Administrator, now: Now
) -> EndpointSecret:
    """Has a URL told of what happens from now on, of the parts that the caller may read. The secret that posts are
    signed with is in this answer and nowhere else. docs/webhooks-out.md says how to receive them."""
    parts = heard_by(caller.scopes)
    _assert_sensible(request, create, parts)
    if await store.count_endpoints(session) >= store.MOST_ENDPOINTS:
        raise Conflict(f"there are {store.MOST_ENDPOINTS} endpoints: take one away first", code="too_many")
    secret, workspace_id, endpoint_id = new_secret(), workspace_of(session), new_id()
    endpoint = Endpoint(
        workspace_id=workspace_id, id=endpoint_id, **create.model_dump(), parts=parts, state=EndpointState.ACTIVE,
        pause_reason=None, failing_since=None, secret=_sealed(request, workspace_id, endpoint_id, secret),
        old_secret=None, old_secret_ends_at=None, created_at=now, created_by=caller.subject,
    )  # fmt: skip
    await add_row(session, endpoint)
    return _with_secret(endpoint, secret)


def _sealed(request: Request, workspace_id: UUID, endpoint_id: UUID, secret: bytes) -> bytes:
    return store.seal(request.app.state.sealer, workspace_id, endpoint_id, secret)


@router.get("/v1/endpoints/{id}", dependencies=[scope("identity:read"), STANDING])
async def get_endpoint(id: UUID, reading: Reading, fields: Fields = fields_of(EndpointRead)) -> EndpointRead:
    """One endpoint, without its secrets."""
    return await read_row(reading, Endpoint, id, EndpointRead, fields)


@router.get("/v1/endpoints", dependencies=[scope("identity:read"), STANDING])
async def list_endpoints(
    reading: Reading,
    asked: Listing[EndpointRead] = listing(Endpoint, EndpointRead, sort=("created_at",), by=("state", "created_at")),
) -> Page[EndpointRead]:
    """Endpoints, the oldest first unless sorted otherwise."""
    return await page(reading, asked)


@router.patch("/v1/endpoints/{id}", dependencies=[scope("identity:write")])
async def update_endpoint(
    id: UUID, patch: EndpointPatch, request: Request, session: Session, caller: Administrator, if_match: IfMatch
) -> EndpointRead:
    """Changes what is sent and leaves the rest. What waits goes to the new place. 403 `beyond_own` for an endpoint that
    is told of parts which the caller may not read."""
    endpoint = await held(session, Endpoint, id, if_match)
    refuse_beyond(endpoint.parts, heard_by(caller.scopes))
    wanted = edited(EndpointCreate, EndpointRead.of(endpoint), patch)
    _assert_sensible(request, wanted, endpoint.parts)
    endpoint.sqlmodel_update(wanted.model_dump())
    await session.flush()
    return EndpointRead.of(endpoint)


@router.post("/v1/endpoints/{id}/rotate", dependencies=[scope("identity:write")])
async def rotate_endpoint(
    id: UUID, rotate: EndpointRotate, request: Request, session: Session, caller: Administrator, if_match: IfMatch,
    now: Now,
) -> EndpointSecret:  # fmt: skip
    """A new secret, shown this once. The one so far signs beside it for `keep_old_minutes` more; an older one ends
    now."""
    endpoint = await held(session, Endpoint, id, if_match)
    refuse_beyond(endpoint.parts, heard_by(caller.scopes))
    secret, kept = new_secret(), rotate.keep_old_minutes > 0
    endpoint.old_secret = endpoint.secret if kept else None
    endpoint.old_secret_ends_at = now + timedelta(minutes=rotate.keep_old_minutes) if kept else None
    endpoint.secret = _sealed(request, endpoint.workspace_id, id, secret)
    await session.flush()
    return _with_secret(endpoint, secret)


@router.post("/v1/endpoints/{id}/disable", dependencies=[scope("identity:write")])
async def disable_endpoint(id: UUID, session: Session, _: Administrator, if_match: IfMatch) -> EndpointRead:
    """Tells it nothing more. What waits stays waiting; of what happens meanwhile it is told by `replay` alone."""
    endpoint = await held(session, Endpoint, id, if_match)
    endpoint.state, endpoint.pause_reason = EndpointState.DISABLED, None
    await session.flush()
    return EndpointRead.of(endpoint)


@router.post("/v1/endpoints/{id}/enable", dependencies=[scope("identity:write")])
async def enable_endpoint(id: UUID, session: Session, caller: Administrator, if_match: IfMatch) -> EndpointRead:
    """Tells it again, beginning with what waits; `replay` brings what happened meanwhile."""
    endpoint = await held(session, Endpoint, id, if_match)
    refuse_beyond(endpoint.parts, heard_by(caller.scopes))
    endpoint.state, endpoint.pause_reason, endpoint.failing_since = EndpointState.ACTIVE, None, None
    await session.flush()
    session.info["recorded"] = True
    return EndpointRead.of(endpoint)


@router.post("/v1/endpoints/{id}/test", status_code=201, dependencies=[scope("identity:write")])
async def send_test_event(id: UUID, session: Session, _: Administrator, now: Now) -> DeliveryRead:
    """Tells it of an event `gateway.endpoint.tested`, on the way that all events go; look at the delivery for what came
    of it. 409 `endpoint_inactive` where nothing is told."""
    # Not locked: whoever keeps events takes their turn first, and endpoints after it.
    endpoint = await get_row(session, Endpoint, id)
    assert_active(endpoint.state)
    event = Incoming(
        id=new_id(), source="/gateway", type=EndpointTested.type, subject=str(id), time=now,
        workspaceid=endpoint.workspace_id, data=EndpointTested(endpoint_id=id).model_dump(mode="json"),
    )  # fmt: skip
    await happenings.keep(session, [event], now)
    made = await deliveries.owe_one(session, endpoint, event, now)
    return DeliveryRead.of(await get_row(session, Delivery, made))


@router.post("/v1/endpoints/{id}/replay", dependencies=[scope("identity:write")])
async def replay_endpoint(
    id: UUID, replay: EndpointReplay, session: Session, caller: Administrator, now: Now
) -> EndpointReplayed:
    """Tells it whatever happened since and didn't reach it: what was given up, and what happened while it was told
    nothing. 409 `endpoint_inactive` where nothing is told."""
    endpoint = await get_row(session, Endpoint, id, lock=True)
    refuse_beyond(endpoint.parts, heard_by(caller.scopes))
    assert_active(endpoint.state)
    if replay.since > now:
        raise Invalid.field("since", "this time is to come", "future")
    # A test is for the endpoint that is tried alone.
    kinds = happening_types().keys() - {EndpointTested.type}
    types = [each for each in kinds if set(patterns_of(each)) & set(endpoint.types)]
    count = await deliveries.owe_again(session, endpoint, types, replay.since, now)
    return EndpointReplayed(endpoint_id=id, deliveries=count)


@router.delete("/v1/endpoints/{id}", dependencies=[scope("identity:write")])
async def delete_endpoint(id: UUID, session: Session, _: Administrator, if_match: IfMatch) -> EndpointRead:
    """Takes an endpoint away, with all that is known of what it was told."""
    endpoint = await held(session, Endpoint, id, if_match)
    answer = EndpointRead.of(endpoint)
    await store.drop_endpoint(session, endpoint)
    return answer
