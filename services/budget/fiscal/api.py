"""Decides what callers can do with fiscal calendars and their periods."""

from uuid import UUID

from fastapi import APIRouter

from chassis.answers import listed, page, read_row
from chassis.db import Now, Reading, Session, add_row, get_row, workspace_of
from chassis.editing import IfMatch, held
from chassis.errors import Conflict
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Fields, Listing, Parent, fields_of, listing
from chassis.outbox import record
from chassis.paging import Groups, Page
from services.budget.fiscal.models import (
    Calendar,
    CalendarCreate,
    CalendarRead,
    FiscalYear,
    Period,
    PeriodClosed,
    PeriodRead,
    PeriodReopened,
    YearCreate,
)
from services.budget.fiscal.rules import PeriodState, assert_can_close, assert_can_reopen, periods_of
from services.budget.ledger import store as ledger
from services.budget.ledger.actions import today_of

router = APIRouter(route_class=IdempotentRoute, tags=["fiscal calendars"])


@router.post("/v1/calendars", status_code=201, dependencies=[scope("budget:approve")])
async def create_calendar(create: CalendarCreate, session: Session, now: Now) -> CalendarRead:
    """Says how years are divided: from any month, by months, quarters, halves, or weeks as in 4-4-5."""
    row = create.model_dump() | {"workspace_id": workspace_of(session), "created_at": now}
    calendar = Calendar.model_validate(row)
    await add_row(session, calendar)
    return CalendarRead.of(calendar)


@router.get("/v1/calendars/{id}", dependencies=[scope("budget:read")])
async def get_calendar(id: UUID, reading: Reading, fields: Fields = fields_of(CalendarRead)) -> CalendarRead:
    """One calendar."""
    return await read_row(reading, Calendar, id, CalendarRead, fields)


@router.get("/v1/calendars", dependencies=[scope("budget:read")])
async def list_calendars(
    reading: Reading, asked: Listing[CalendarRead] = listing(Calendar, CalendarRead)
) -> Page[CalendarRead]:
    """Calendars, the oldest first unless sorted otherwise."""
    return await page(reading, asked)


@router.post("/v1/calendars/{id}/open-year", dependencies=[scope("budget:approve")])
async def open_year(id: UUID, create: YearCreate, session: Session) -> FiscalYear:
    """Makes the periods of a year. 409 `already_exists` when they are there."""
    calendar = await get_row(session, Calendar, id)
    found = []
    for days in periods_of(calendar.scheme, create.year, calendar.start_month):
        row = {
            "workspace_id": calendar.workspace_id, "calendar_id": id, "name": days.name, "year": create.year,
            "start": days.start, "finish": days.end,
        }  # fmt: skip
        found.append(Period.model_validate(row))
        await add_row(session, found[-1])
    return FiscalYear(year=create.year, periods=[PeriodRead.of(each) for each in found])


@router.get("/v1/periods", dependencies=[scope("budget:read")])
async def list_periods(
    reading: Reading,
    asked: Listing[PeriodRead] = listing(
        Period, PeriodRead, sort=("start",), by=("year", "state"), parents={"calendar_id": Parent(Period.calendar_id)}
    ),
) -> Page[PeriodRead] | Groups[PeriodRead]:
    """Periods, the oldest first unless sorted otherwise."""
    return await listed(reading, asked)


@router.post("/v1/periods/{id}/close", dependencies=[scope("budget:approve")])
async def close_period(id: UUID, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now) -> PeriodRead:
    """Closes it and every day before it, on every line: nothing is booked there any more, and what was is taken back by
    entries of an open day. 409 `not_over` before its end."""
    period = await held(session, Period, id, if_match)
    until = await ledger.hold_closing(session)
    assert_can_close(period.spans, await today_of(session, now), until)
    period.state, period.closed_after, period.changed_by, period.changed_at = (
        PeriodState.CLOSED,
        until,
        who.subject,
        now,
    )
    await session.flush()
    await ledger.close_until(session, period.finish)
    await record(session, PeriodClosed(period_id=id, name=period.name, end=period.finish), id, now)
    return PeriodRead.of(period)


@router.post("/v1/periods/{id}/reopen", dependencies=[scope("budget:approve")])
async def reopen_period(id: UUID, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now) -> PeriodRead:
    """Opens the last one that was closed."""
    period = await held(session, Period, id, if_match)
    if period.state is not PeriodState.CLOSED:
        raise Conflict("the period is open", code="not_closed")
    assert_can_reopen(period.spans, await ledger.hold_closing(session))
    period.state, period.changed_by, period.changed_at = PeriodState.OPEN, who.subject, now
    await session.flush()
    await ledger.close_until(session, period.closed_after)
    await record(session, PeriodReopened(period_id=id, name=period.name, end=period.finish), id, now)
    return PeriodRead.of(period)
