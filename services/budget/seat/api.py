"""Decides what callers can do with seats, how tools' usage comes in, and how waste is read."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from sqlalchemy import Date, bindparam
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from chassis.answers import Derive, listed, page_of, read_of, read_row
from chassis.db import Now, Reading, Session, add_row, workspace_of, zone_of
from chassis.editing import IfMatch, edited, held
from chassis.errors import Conflict
from chassis.fields import Money
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, Principal, scope
from chassis.listing import Cursor, Fields, Filter, Limit, Listing, Parent, fields_of, listing
from chassis.paging import MOST, Groups, Page, decode_cursor, encode_cursor
from chassis.reading import Source
from services.budget.contract.rules import assert_editable
from services.budget.contract.store import named_contract, today_of
from services.budget.person import store as people
from services.budget.person.rules import PEOPLE
from services.budget.seat import store
from services.budget.seat.models import (
    BadUse,
    DepartmentSeats,
    Seat,
    SeatCreate,
    SeatDetails,
    SeatPatch,
    SeatRead,
    SeatUseImport,
    SeatUses,
    SeatUsesTold,
    SeatWaste,
)
from services.budget.seat.rules import IDLE_DAYS, BadRow, Use, assert_day, idle_since, read_uses

router = APIRouter(route_class=IdempotentRoute, tags=["seats"])

MOST_TOLD = 1000
Days = Annotated[int, Query(ge=1, le=3650, description="Without use for so many days, today among them: idle.")]
# The caller says days; what they come to today is bound in their place.
IDLE = Filter(
    "idle_days",
    Annotated[
        int | None,
        Query(ge=1, le=3650, description="Only idle seats: not given back, and unused for so many days, with today."),
    ],
    None,
    Seat.active_on,
    (col(Seat.active_on) <= bindparam("idle_days", type_=Date)) & ~col(Seat.is_released),
)  # fmt: skip


async def _nobody(_: Source, __: Sequence[Any]) -> dict[UUID, str]:
    return {}


def _derived(who: Principal) -> Mapping[str, Derive]:
    """Addresses are for those with the scope for people's data."""
    return {"address": store.addresses_of if PEOPLE in who.scopes else _nobody}


def _key(request: Request, session: AsyncSession) -> bytes:
    return people.address_key(request.app.state.settings.secret_key, workspace_of(session))


@router.post("/v1/seats", status_code=201, dependencies=[scope("budget:write")])
async def create_seat(
    create: SeatCreate, request: Request, session: Session, who: CurrentPrincipal, now: Now
) -> SeatRead:
    """Gives somebody a seat. More than were bought may be given: `over` of the waste says how many. 409 `taken` when
    they have one, `over` once the contract has ended."""
    contract = await named_contract(session, create.contract_id, lock=True)
    today = await today_of(session, now)
    assert_editable(contract.state, contract.terms, today)
    person_id = await people.person_of(session, _key(request, session), create.address)
    if await store.has_seat(session, contract.id, person_id):
        raise Conflict("this person has a seat of this contract", code="taken")
    seat = Seat.model_validate(
        {
            "workspace_id": workspace_of(session), "contract_id": contract.id, "person_id": person_id,
            "department": create.department, "assigned_on": today, "active_on": today,
        }
    )  # fmt: skip
    await add_row(session, seat)
    return await read_of(session, SeatRead, seat, **_derived(who))


@router.get("/v1/seats/{id}", dependencies=[scope("budget:read")])
async def get_seat(id: UUID, reading: Reading, who: CurrentPrincipal, fields: Fields = fields_of(SeatRead)) -> SeatRead:
    """One seat."""
    return await read_row(reading, Seat, id, SeatRead, fields, **_derived(who))


@router.get("/v1/seats", dependencies=[scope("budget:read")])
async def list_seats(
    reading: Reading,
    who: CurrentPrincipal,
    now: Now,
    asked: Listing[SeatRead] = listing(
        Seat,
        SeatRead,
        sort=("active_on", "assigned_on"),
        by=("department", "active_on", "assigned_on", "is_released"),
        parents={"contract_id": Parent(Seat.contract_id)},
        also=(IDLE,),
    ),
) -> Page[SeatRead] | Groups[SeatRead]:
    """Seats, the oldest first unless sorted otherwise; those given back too, unless `is_released=false`. With
    `idle_days`: just the idle ones, and so whom to ask."""
    if "idle_days" in asked.given:
        since = idle_since(await today_of(reading, now), asked.given["idle_days"])
        asked = replace(asked, given={**asked.given, "idle_days": since})
    return await listed(reading, asked, **_derived(who))


@router.patch("/v1/seats/{id}", dependencies=[scope("budget:write")])
async def update_seat(
    id: UUID, patch: SeatPatch, if_match: IfMatch, session: Session, who: CurrentPrincipal
) -> SeatRead:
    """Changes whose department's it is. 409 `released` once it was given back."""
    seat = await held(session, Seat, id, if_match)
    if seat.is_released:
        raise Conflict("the seat was given back and stays as it was", code="released")
    wanted = edited(SeatDetails, SeatDetails(department=seat.department), patch)
    seat.sqlmodel_update(wanted.model_dump())
    await session.flush()
    return await read_of(session, SeatRead, seat, **_derived(who))


@router.post("/v1/seats/{id}/release", dependencies=[scope("budget:write")])
async def release_seat(id: UUID, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now) -> SeatRead:
    """Gives a seat back; it is nobody's from today on. Again, it changes nothing."""
    seat = await held(session, Seat, id, if_match)
    if not seat.is_released:
        seat.is_released, seat.released_on = True, await today_of(session, now)
        await session.flush()
    return await read_of(session, SeatRead, seat, **_derived(who))


@router.post("/v1/seat-uses", dependencies=[scope("budget:write")])
async def record_seat_uses(told: SeatUses, request: Request, session: Session, now: Now) -> SeatUsesTold:
    """Says who used a tool on which day. Only the latest day counts: nothing depends on the order in which it is told,
    or on how often."""
    today = await today_of(session, now)
    for place, use in enumerate(told.uses):
        assert_day(use.day, today, f"uses.{place}.day")
    uses = [Use(row, use.address, use.day) for row, use in enumerate(told.uses, 1)]
    return await _note(request, session, told.contract_id, uses, [])


@router.post("/v1/seat-uses/import", dependencies=[scope("budget:write")])
async def import_seat_uses(told: SeatUseImport, request: Request, session: Session, now: Now) -> SeatUsesTold:
    """The same from CSV. A row that can't be read costs no other. 422 names `content` when its header lacks a column
    that is named."""
    zone, today = ZoneInfo(await zone_of(session)), await today_of(session, now)
    uses, bad = read_uses(told.content, told.address_column, told.day_column, zone, today)
    return await _note(request, session, told.contract_id, uses, bad)


async def _note(
    request: Request, session: AsyncSession, contract_id: UUID, uses: Sequence[Use], bad: Sequence[BadRow]
) -> SeatUsesTold:
    await named_contract(session, contract_id, lock=True)
    moved, unknown = await store.note_uses(session, _key(request, session), contract_id, uses)
    return SeatUsesTold(
        contract_id=contract_id, told=len(uses), moved=moved, unknown=unknown[:MOST_TOLD],
        bad=[BadUse.of(each) for each in bad[:MOST_TOLD]],
    )  # fmt: skip


@router.get("/v1/seat-waste", dependencies=[scope("budget:read")])
async def list_seat_waste(
    contract_id: Annotated[list[UUID], Query(min_length=1, max_length=MOST, description=f"Up to {MOST}, repeated.")],
    reading: Reading,
    now: Now,
    idle_days: Days = IDLE_DAYS,
    fields: Fields = fields_of(SeatWaste),
) -> Page[SeatWaste]:
    """What of many contracts is paid for and not used, in the order asked for. Contracts of which no seats are known
    are left out, as those are that don't exist."""
    today = await today_of(reading, now)
    found = await store.waste_of(reading, contract_id, idle_days, today)
    items = [
        SeatWaste.of_waste(key, found[key], today, idle_days, only=fields)
        for key in dict.fromkeys(contract_id)
        if key in found
    ]
    return page_of(SeatWaste, items)


@router.get("/v1/department-seats", dependencies=[scope("budget:read")])
async def list_department_seats(
    reading: Reading, now: Now, idle_days: Days = IDLE_DAYS, limit: Limit = 50, cursor: Cursor = None
) -> Page[DepartmentSeats]:
    """What each department has of the tools whose term runs, and what its idle seats cost, by name."""
    after = decode_cursor(cursor, "department", [str])[0] if cursor else ""
    by_department: dict[str, dict[str, Any]] = {}
    for contract_id, found in (await store.waste_of_all(reading, idle_days, await today_of(reading, now))).items():
        for each in found.departments:
            sums = by_department.setdefault(
                each.department, {"assigned": 0, "idle": 0, "wasted": {}, "contract_ids": []}
            )
            sums["assigned"] += each.assigned
            sums["idle"] += each.idle
            sums["wasted"][found.currency] = sums["wasted"].get(found.currency, 0) + each.wasted
            if each.wasted and len(sums["contract_ids"]) < MOST:
                sums["contract_ids"].append(contract_id)
    names = [name for name in sorted(by_department) if name > after]
    items = [
        DepartmentSeats(
            department=name, assigned=sums["assigned"], idle=sums["idle"], contract_ids=sums["contract_ids"],
            wasted_monthly=[Money.of_minor(minor, currency) for currency, minor in sorted(sums["wasted"].items())],
        )
        for name in names[:limit]
        for sums in (by_department[name],)
    ]  # fmt: skip
    more = encode_cursor("department", items[-1].department) if len(names) > limit else None
    return page_of(DepartmentSeats, items, more)
