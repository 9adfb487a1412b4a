"""Decides what callers can ask of what money will come to."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from chassis.answers import page_of
from chassis.db import Now, Reading
from chassis.errors import NotFound
from chassis.fields import UtcDatetime
from chassis.identity import scope
from chassis.listing import Fields, fields_of
from chassis.paging import MOST, Page
from services.budget.forecast.foreseeing import day_of, foresee_lines, foresee_plan
from services.budget.forecast.models import ForecastOfDepartment, ForecastOfLine, MoneyForecast, PlanForecast
from services.budget.forecast.rules import Outlook

router = APIRouter(tags=["forecasts"])

Wanted = Annotated[list[UUID], Query(min_length=1, max_length=MOST, description=f"Up to {MOST}, repeated.")]
AsOf = Annotated[
    UtcDatetime | None,
    Query(description="As it looked at this instant; default: now.", examples=["2026-03-01T12:00:00Z"]),
]
Below = Annotated[bool, Query(description="With all lines below it, at any depth.")]
Departments = Annotated[list[str], Query(max_length=MOST, description=f"Only these, up to {MOST}.")]


@router.get("/v1/lines/{id}/forecast", dependencies=[scope("budget:read")])
async def get_line_forecast(
    id: UUID, reading: Reading, now: Now, as_of: AsOf = None, below: Below = False,
    fields: Fields = fields_of(ForecastOfLine),
) -> ForecastOfLine:  # fmt: skip
    """What a line's money will come to by the end of its period, and why it isn't what was planned by now. Of a line
    that others lie below it is what it has of its own, unless `below` adds them."""
    found = await foresee_lines(reading, [id], await day_of(reading, as_of or now), as_of, below=below)
    if id not in found:
        raise NotFound(f"no line {id}")
    currency, lines, outlook = found[id]
    forecast = MoneyForecast.of_outlook(outlook, currency)
    return ForecastOfLine.of(None, only=fields, line_id=id, as_of=as_of or now, lines=lines, forecast=forecast)


@router.get("/v1/line-forecasts", dependencies=[scope("budget:read")])
async def list_line_forecasts(
    line_id: Wanted, reading: Reading, now: Now, as_of: AsOf = None, below: Below = False,
    fields: Fields = fields_of(ForecastOfLine),
) -> Page[ForecastOfLine]:  # fmt: skip
    """Forecasts of many lines, each in its own currency, in the order asked for. Lines that don't exist are left
    out."""
    found = await foresee_lines(reading, line_id, await day_of(reading, as_of or now), as_of, below=below)
    items = [
        ForecastOfLine.of(
            None, only=fields, line_id=key, as_of=as_of or now, lines=lines,
            forecast=MoneyForecast.of_outlook(outlook, currency),
        )
        for key, (currency, lines, outlook) in found.items()
    ]  # fmt: skip
    return page_of(ForecastOfLine, items)


@router.get("/v1/plan-forecast", dependencies=[scope("budget:read")])
async def get_plan_forecast(
    reading: Reading, now: Now, as_of: AsOf = None, department: Departments = []
) -> PlanForecast:
    """What all money will come to that is planned for a day: of every line whose period holds the day of `as_of`, by
    department and in all, in the reporting currency. 409 `no_rate` when a line's currency has no rate on that day."""
    at = as_of or now
    day, reporting = await day_of(reading, at), (await reading.info["database"].workspace(reading)).currency
    found = await foresee_plan(reading, reporting, day, as_of, department)
    departments = [
        ForecastOfDepartment.of(None, department=name, lines=lines, forecast=MoneyForecast.of_outlook(each, reporting))
        for name, (lines, each) in sorted(found.items())
    ]
    whole = sum((each for _, each in found.values()), start=Outlook())
    return PlanForecast.of(
        None, as_of=at, day=day, lines=sum(lines for lines, _ in found.values()),
        forecast=MoneyForecast.of_outlook(whole, reporting), departments=departments,
    )  # fmt: skip
