"""Decides what callers see of the catalogue of metrics, and how they add to it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from chassis.answers import page_of
from chassis.db import Database, Now, Reading, Session, workspace_of
from chassis.editing import IfMatch, edited
from chassis.errors import Conflict, Invalid
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Cursor, Fields, Limit, fields_of
from chassis.paging import MOST, Page, decode_cursor, encode_cursor
from services.metrics.metric import store
from services.metrics.metric.catalogue import CATALOGUE
from services.metrics.metric.expression import ExpressionError, Named, leaves, parse
from services.metrics.metric.judging import key_is_free, settled
from services.metrics.metric.models import Metric, MetricCreate, MetricEnd, MetricPatch, MetricRead
from services.metrics.metric.rules import BotPolicy, Definition, MetricDirection, MetricUnit

router = APIRouter(route_class=IdempotentRoute, tags=["metrics"])

# All of them are looked through for each list.
MOST_METRICS = 500


def _read(found: Definition, fields: Fields = None) -> MetricRead:
    return MetricRead.of(found, only=fields, uses=store.uses_of(found))


async def _settled(session: Session, wanted: Definition) -> Definition:
    if wanted.unit is MetricUnit.MONEY and wanted.observed and wanted.currency is None:
        database: Database = session.info["database"]
        wanted = replace(wanted, currency=(await database.workspace(session)).currency)
    try:
        named = {leaf.key for leaf in leaves(parse(wanted.expression or "0")) if isinstance(leaf, Named)}
    except ExpressionError as problem:
        raise Invalid.field("expression", str(problem), "syntax") from None
    known = await store.definitions(session, store.names_in(named))
    return settled(wanted, known.newest, known.book)


@router.post("/v1/metrics", status_code=201, dependencies=[scope("metrics:write")])
async def create_metric(create: MetricCreate, session: Session, who: CurrentPrincipal, now: Now) -> MetricRead:
    """Defines a metric of the workspace's own. It is checked as a whole: that the expression can be read, that all it
    names is known, that units go together and give the one declared, that metrics don't rest on each other in a circle.
    What is wrong is told with the field and the place in the expression."""
    key_is_free(create.key)
    if create.key in CATALOGUE:
        raise Conflict(f"every workspace has a metric {create.key}", code="exists")
    if await store.hold_catalogue(session) >= MOST_METRICS:
        raise Conflict(f"{MOST_METRICS} metrics of one's own are the most", code="too_many")
    wanted = Definition(**create.model_dump(), version=1, shipped=False, created_at=now)
    found = await _settled(session, wanted)
    metric = Metric(workspace_id=workspace_of(session), key=create.key, version=1, created_at=now)
    await store.add_version(session, metric, found, who.subject, now)
    return _read(found)


@router.patch("/v1/metrics/{key}", dependencies=[scope("metrics:write")])
async def update_metric(
    key: str, patch: MetricPatch, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> MetricRead:
    """Defines a metric anew, as its next version; what rests on it keeps to the version it was saved with. Earlier
    versions can be asked for for ever. 409 `shipped` for those that every workspace has."""
    _own(key)
    await store.hold_catalogue(session)
    metric = await store.hold_metric(session, key)
    if_match.check(metric)
    known = (await store.definitions(session, store.names_in([key]))).get(key)
    wanted = edited(MetricCreate, _read(known), patch)
    if known.observed != wanted.observed or (known.observed and known.unit is not wanted.unit):
        await _assert_unused(session, key, "observations", "observed")
    found = await _settled(
        session, Definition(**wanted.model_dump(), version=metric.version + 1, shipped=False, created_at=now)
    )
    if known.observed and (found.unit, found.currency) != (known.unit, known.currency):
        # They keep to the version before, of which these would be the figures all the same.
        await _assert_unused(session, key, "observations", "currency")
        await _assert_unused(session, key, "metrics", "currency" if found.unit is known.unit else "unit")
    await store.add_version(session, metric, found, who.subject, now)
    return _read(replace(found, retired_at=metric.retired_at))


async def _assert_unused(session: Session, key: str, kind: str, field: str) -> None:
    if (await store.users_of(session, key)).get(kind):
        raise Invalid.field(field, f"there are {kind} of {key} by what it is now; define another metric", "in_use")


def _own(key: str) -> None:
    if key in CATALOGUE:
        raise Conflict(f"every workspace has {key}, as it is; define a metric of your own", code="shipped")


@router.post("/v1/metrics/{key}/retire", dependencies=[scope("metrics:write")])
async def retire_metric(key: str, if_match: IfMatch, session: Session, now: Now) -> MetricRead:
    """Keeps anything new from resting on a metric. It is answered as before to those who ask for it."""
    _own(key)
    metric = await store.hold_metric(session, key)
    if_match.check(metric)
    metric.retired_at = metric.retired_at or now
    await session.flush()
    return _read((await store.definitions(session, store.names_in([key]))).get(key))


@router.delete("/v1/metrics/{key}", dependencies=[scope("metrics:write")])
async def delete_metric(key: str, if_match: IfMatch, session: Session) -> MetricEnd:
    """Takes a metric away that nothing here rests on. 409 `in_use` says what does; retire it then. A goal elsewhere
    that is measured by it will say that it is unknown."""
    _own(key)
    await store.hold_catalogue(session)
    metric = await store.hold_metric(session, key)
    if_match.check(metric)
    users = await store.users_of(session, key)
    if users:
        told = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in users.items())
        raise Conflict(f"{key} is in use by {told}", code="in_use")
    await store.drop_metric(session, metric)
    return MetricEnd(key=key)


Version = Annotated[int | None, Query(ge=1, le=1_000_000, description="An earlier one; the newest without it.")]


@router.get("/v1/metrics/{key}", dependencies=[scope("metrics:read")])
async def get_metric(
    key: str, reading: Reading, version: Version = None, fields: Fields = fields_of(MetricRead)
) -> MetricRead:
    """What one metric means, or meant."""
    return _read((await store.definitions(reading, [(key, version)])).get(key, version), fields)


@router.get("/v1/metrics/{key}/versions", dependencies=[scope("metrics:read")], openapi_extra={"x-graph": False})
async def list_metric_versions(
    key: str, reading: Reading, limit: Limit = 50, cursor: Cursor = None, fields: Fields = fields_of(MetricRead)
) -> Page[MetricRead]:
    """Every version of one metric, the newest first."""
    found = await store.versions_of(reading, key)
    if cursor is not None:
        (after,) = decode_cursor(cursor, "-version", [int])
        found = [each for each in found if each.version < after]
    more = encode_cursor("-version", found[limit - 1].version) if len(found) > limit else None
    return page_of(MetricRead, [_read(each, fields) for each in found[:limit]], more)


@router.get("/v1/metrics", dependencies=[scope("metrics:read")])
async def list_metrics(
    reading: Reading,
    key: Annotated[list[str], Query(max_length=MOST, description=f"Only these, up to {MOST}.")] = [],
    unit: Annotated[list[MetricUnit], Query(max_length=MOST)] = [],
    direction: Annotated[list[MetricDirection], Query(max_length=MOST)] = [],
    bots: Annotated[list[BotPolicy], Query(max_length=MOST)] = [],
    additive: bool | None = None,
    shipped: bool | None = None,
    retired: bool | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    sort: Annotated[Literal["key", "-key", "name", "-name"], Query(description="`-` in front: downwards.")] = "key",
    fields: Fields = fields_of(MetricRead),
) -> Page[MetricRead]:
    """All that can be asked for, shipped and own, each in its newest version; by key unless sorted otherwise."""
    wanted: dict[str, Sequence[object]] = {"key": key, "unit": unit, "direction": direction, "bots": bots}
    wanted |= {} if additive is None else {"additive": [additive]}
    wanted |= {} if shipped is None else {"shipped": [shipped]}
    asked = {name: values for name, values in wanted.items() if values}
    own = [] if shipped or (key and set(key) <= CATALOGUE.keys()) else await store.own_definitions(reading)

    def fits(each: Definition) -> bool:
        there = retired is None or (each.retired_at is not None) == retired
        return there and all(getattr(each, name) in asked[name] for name in asked)

    def place(each: Definition) -> list[Any]:
        return [getattr(each, sort.removeprefix("-")), each.key]

    found = sorted(filter(fits, (*CATALOGUE.values(), *own)), key=place, reverse=sort.startswith("-"))
    if cursor is not None:
        after = decode_cursor(cursor, sort, [str, str])
        found = [each for each in found if (place(each) < after if sort.startswith("-") else place(each) > after)]
    more = encode_cursor(sort, *place(found[limit - 1])) if len(found) > limit else None
    return page_of(MetricRead, [_read(each, fields) for each in found[:limit]], more)
