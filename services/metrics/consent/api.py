"""Decides what callers can record and see of consent, and what they find of a person."""

from fastapi import APIRouter, Request

from chassis.answers import by_id, page, read_of, reads_of
from chassis.db import Now, Reading, Session, add_row, workspace_of
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Listing, listing
from chassis.paging import Page
from chassis.settings import Settings
from services.metrics.consent import store
from services.metrics.consent.models import (
    Consent,
    ConsentCreate,
    ConsentRead,
    PersonAsked,
    PersonRead,
    StandingConsent,
)
from services.metrics.consent.rules import check_said, standing
from services.metrics.recipient.store import address_key, hash_of, keep_recipient
from services.metrics.suppression.models import SuppressionRead
from services.metrics.suppression.rules import SuppressionState
from services.metrics.suppression.store import addresses_of as suppressed_addresses

router = APIRouter(route_class=IdempotentRoute, tags=["people"])
PEOPLE = scope("metrics:people")


def _hash(request: Request, session: Session, address: str) -> bytes:
    settings: Settings = request.app.state.settings
    return hash_of(address_key(settings.secret_key, workspace_of(session)), address)


@router.post("/v1/consents", status_code=201, dependencies=[scope("metrics:write"), PEOPLE])
async def create_consent(
    create: ConsentCreate, request: Request, who: CurrentPrincipal, session: Session, now: Now
) -> ConsentRead:
    """Records that somebody gave or withdrew consent. Receipts never change; the latest of a purpose holds."""
    check_said(create.at, now)
    address_hash = _hash(request, session, create.address)
    await keep_recipient(session, create.address, address_hash)
    row = Consent.model_validate(
        {
            **create.model_dump(exclude={"address"}), "address_hash": address_hash, "recorded_at": now,
            "recorded_by": who.subject, "workspace_id": workspace_of(session),
        }
    )  # fmt: skip
    await add_row(session, row)
    return await read_of(session, ConsentRead, row, address=by_id(store.addresses_of))


@router.get("/v1/consents", dependencies=[PEOPLE])
async def list_consents(
    reading: Reading,
    asked: Listing[ConsentRead] = listing(
        Consent, ConsentRead, sort=("at", "recorded_at"), by=("purpose", "at", "recorded_at")
    ),
) -> Page[ConsentRead]:
    """Receipts of consent."""
    return await page(reading, asked, address=by_id(store.addresses_of))


@router.post("/v1/people/find", dependencies=[PEOPLE], openapi_extra={"x-graph": False})
async def find_person(asked: PersonAsked, request: Request, session: Session) -> PersonRead:
    """What is known of an address, which stands in the body since addresses of pages are logged: whether it may be
    written to, what it consented to, and what keeps one from writing."""
    address_hash = _hash(request, session, asked.address)
    found = await store.suppressions_of(session, address_hash)
    receipts = standing(await store.receipts_of(session, address_hash))
    return PersonRead(
        known=await store.is_known(session, address_hash),
        may_be_written_to=all(each.state is SuppressionState.LIFTED for each in found),
        consents=[
            StandingConsent(purpose=purpose, given=each.given, at=each.at) for purpose, each in sorted(receipts.items())
        ],
        suppressions=await reads_of(session, SuppressionRead, found, address=by_id(suppressed_addresses)),
    )
