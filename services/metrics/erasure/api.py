"""Decides who can have somebody erased, and what callers see of it."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request

from chassis.answers import of_row, page, read_of, read_row
from chassis.db import Now, Reading, Session, workspace_of
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Fields, Listing, fields_of, listing
from chassis.paging import Page
from chassis.settings import Settings
from services.metrics.erasure.actions import begin_erasure
from services.metrics.erasure.models import Erasure, RecipientErasureCreate, RecipientErasureRead
from services.metrics.recipient.store import address_key, hash_of

router = APIRouter(route_class=IdempotentRoute, tags=["people"])
PEOPLE = scope("metrics:people")


def _hex(row: Any) -> str:
    return bytes(row.address_hash).hex()


@router.post("/v1/recipient-erasures", status_code=201, dependencies=[scope("metrics:write"), PEOPLE])
async def erase_recipient(
    create: RecipientErasureCreate, request: Request, who: CurrentPrincipal, session: Session, now: Now
) -> RecipientErasureRead:
    """Erases somebody: the address at once, from where it is kept; then from links, message ids, quarantine, receipts,
    notes and the outbox, until it is `done`. Their events stay and count, as nobody's. Suppressions stay by the hash,
    so that nobody writes to them again. Answers kept for Idempotency-Keys are sealed and gone after two days."""
    settings: Settings = request.app.state.settings
    key = address_key(settings.secret_key, workspace_of(session))
    found = hash_of(key, create.address) if create.address else bytes.fromhex(create.address_hash or "")
    erasure = await begin_erasure(session, settings.secret_key, create.address, found, who.subject, now)
    return await read_of(session, RecipientErasureRead, erasure, address_hash=of_row(_hex))


@router.get("/v1/recipient-erasures/{id}", dependencies=[PEOPLE])
async def get_recipient_erasure(
    id: UUID, reading: Reading, fields: Fields = fields_of(RecipientErasureRead)
) -> RecipientErasureRead:
    """One erasure, and how far it is."""
    return await read_row(reading, Erasure, id, RecipientErasureRead, fields, address_hash=of_row(_hex))


@router.get("/v1/recipient-erasures", dependencies=[PEOPLE])
async def list_recipient_erasures(
    reading: Reading,
    asked: Listing[RecipientErasureRead] = listing(
        Erasure, RecipientErasureRead, sort=("requested_at",), by=("state", "requested_at")
    ),
) -> Page[RecipientErasureRead]:
    """Who was erased, by their hashes: keep this outside the database, and repeat it after a backup was restored."""
    return await page(reading, asked, address_hash=of_row(_hex))
