"""Decides what callers see of who isn't written to any more, and what they can change of it."""

from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from chassis.answers import by_id, listed, read_of
from chassis.db import Database, Now, Reading, Session, get_row, workspace_of
from chassis.editing import IfMatch, held
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Listing, Parent, listing
from chassis.paging import Groups, Page
from chassis.settings import Settings
from services.metrics.export.models import MEDIA, Batch, written
from services.metrics.export.rules import BATCH, SUPPRESSIONS, ExportFormat
from services.metrics.recipient.store import address_key, hash_of, keep_recipient
from services.metrics.suppression import store
from services.metrics.suppression.models import Suppression, SuppressionCreate, SuppressionRead
from services.metrics.suppression.rules import Known, SuppressionState, confirmed, lifted

router = APIRouter(route_class=IdempotentRoute, tags=["people"])

PEOPLE = scope("metrics:people")
NOT_TO_WRITE_TO = [SuppressionState.ACTIVE, SuppressionState.HELD]
FILE: dict[str, Any] = {
    "openapi_extra": {"x-graph": False},
    "response_class": StreamingResponse,
    "responses": {
        200: {
            "description": "The file.",
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
}


@router.get("/v1/suppressions", dependencies=[PEOPLE])
async def list_suppressions(
    reading: Reading,
    asked: Listing[SuppressionRead] = listing(
        Suppression,
        SuppressionRead,
        sort=("since",),
        by=("reason", "state", "since"),
        parents={"source_id": Parent(Suppression.source_id)},
    ),
) -> Page[SuppressionRead] | Groups[SuppressionRead]:
    """Who isn't written to any more and why: bounces, complaints and unsubscribes as platforms tell them, and what was
    added by hand. Somebody may be in it for several reasons. Soft bounces that platforms call bounces are in it too."""
    return await listed(reading, asked, address=by_id(store.addresses_of))


@router.post("/v1/suppressions", status_code=201, dependencies=[scope("metrics:write"), PEOPLE])
async def create_suppression(
    create: SuppressionCreate, request: Request, session: Session, now: Now
) -> SuppressionRead:
    """Adds an address by hand. One that is there by hand already becomes active again if it was lifted."""
    settings: Settings = request.app.state.settings
    key = address_key(settings.secret_key, workspace_of(session))
    found = hash_of(key, create.address)
    await keep_recipient(session, create.address, found)
    kept = await store.put_by_hand(session, found, now)
    row = await get_row(session, Suppression, kept)
    return await read_of(session, SuppressionRead, row, address=by_id(store.addresses_of))


@router.post("/v1/suppressions/{id}/confirm", dependencies=[scope("metrics:write"), PEOPLE])
async def confirm_suppression(id: UUID, if_match: IfMatch, session: Session, now: Now) -> SuppressionRead:
    """Says of one that is held that a person meant it. 409 `suppression_lifted`."""
    row = await held(session, Suppression, id, if_match)
    return await _changed(session, row, confirmed(row.known, now))


@router.post("/v1/suppressions/{id}/lift", dependencies=[scope("metrics:write"), PEOPLE])
async def lift_suppression(id: UUID, if_match: IfMatch, session: Session, now: Now) -> SuppressionRead:
    """Takes one back: it was a machine's, or the address works again. 409 `complained` for a complaint. What happens
    later holds again."""
    row = await held(session, Suppression, id, if_match)
    return await _changed(session, row, lifted(row.known, row.reason, now))


async def _changed(session: Session, row: Suppression, known: Known) -> SuppressionRead:
    row.asked_at, row.held_at, row.lifted_at = known.asked_at, known.held_at, known.lifted_at
    row.state, row.since = known.state(), known.since()
    await session.flush()
    return await read_of(session, SuppressionRead, row, address=by_id(store.addresses_of))


@router.get("/v1/suppressions/export", dependencies=[PEOPLE], **FILE)
async def export_suppressions(
    request: Request,
    who: CurrentPrincipal,
    state: Annotated[list[SuppressionState], Query(description="Only these; active and held unless said.")] = [],
    file: Annotated[ExportFormat, Query(alias="format", description="No cell of a CSV is ever a formula.")] = (
        ExportFormat.CSV
    ),
) -> StreamingResponse:
    """The list as a file to take to a platform. Where a person's data is erased, the keyed hash stands alone."""
    database: Database = request.app.state.database
    states = [each.value for each in state or NOT_TO_WRITE_TO]

    async def batches() -> AsyncIterator[Batch]:
        last: UUID | None = None
        while True:
            async with database.caller(who) as session:
                batch, last = await store.suppressed_after(session, states, last, BATCH)
            yield batch
            if last is None:
                return

    headers = {"Content-Disposition": f'attachment; filename="suppressions.{file}"'}
    return StreamingResponse(written(file, SUPPRESSIONS, batches()), media_type=MEDIA[file], headers=headers)
