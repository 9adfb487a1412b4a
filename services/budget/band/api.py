"""Decides who says which approvals spending needs."""

from uuid import UUID

from fastapi import APIRouter

from chassis.answers import of_row, page, read_row
from chassis.db import Now, Reading, Session, add_row, workspace_of
from chassis.editing import IfMatch, edited, held
from chassis.errors import Invalid
from chassis.fields import Money
from chassis.idempotency import IdempotentRoute
from chassis.identity import scope
from chassis.listing import Fields, Listing, fields_of, listing
from chassis.paging import Page
from services.budget.band.models import Band, BandCreate, BandPatch, BandRead

router = APIRouter(route_class=IdempotentRoute, tags=["approval bands"])

ABOVE = of_row(lambda band: Money.of_minor(band.above, band.currency))


async def _check(session: Session, band: BandCreate) -> None:
    reporting = (await session.info["database"].workspace(session)).currency
    if band.above.currency != reporting:
        raise Invalid.field("above.currency", f"the workspace reports in {reporting}", "not_reporting")
    if band.above.minor < 0:
        raise Invalid.field("above.amount", "must not be below zero", "negative")


def _read(band: Band) -> BandRead:
    return BandRead.of(band, above=Money.of_minor(band.above, band.currency))


@router.post("/v1/bands", status_code=201, dependencies=[scope("budget:approve")])
async def create_band(create: BandCreate, session: Session, now: Now) -> BandRead:
    """Adds a layer of approval. Without any, one approval by anybody else who has `budget:approve` is enough."""
    await _check(session, create)
    band = Band.model_validate({**create.columns(), "workspace_id": workspace_of(session), "created_at": now})
    await add_row(session, band)
    return _read(band)


@router.get("/v1/bands/{id}", dependencies=[scope("budget:read")])
async def get_band(id: UUID, reading: Reading, fields: Fields = fields_of(BandRead)) -> BandRead:
    """One layer of approval."""
    return await read_row(reading, Band, id, BandRead, fields, above=ABOVE)


@router.get("/v1/bands", dependencies=[scope("budget:read")])
async def list_bands(
    reading: Reading, asked: Listing[BandRead] = listing(Band, BandRead, by=("department",))
) -> Page[BandRead]:
    """Layers of approval, the oldest first unless sorted otherwise."""
    return await page(reading, asked, above=ABOVE)


@router.patch("/v1/bands/{id}", dependencies=[scope("budget:approve")])
async def update_band(id: UUID, patch: BandPatch, if_match: IfMatch, session: Session) -> BandRead:
    """Changes what is sent and leaves the rest."""
    band = await held(session, Band, id, if_match)
    wanted = edited(BandCreate, _read(band), patch)
    await _check(session, wanted)
    band.sqlmodel_update(wanted.columns())
    await session.flush()
    return _read(band)


@router.post("/v1/bands/{id}/remove", dependencies=[scope("budget:approve")])
async def remove_band(id: UUID, if_match: IfMatch, session: Session) -> BandRead:
    """Takes a layer away; what was decided in it stays. Answers with what it was."""
    band = await held(session, Band, id, if_match)
    await session.delete(band)
    await session.flush()
    return _read(band)
