"""Decides what callers can do with exchange rates."""

from datetime import date
from typing import Annotated

from babel.numbers import list_currencies
from fastapi import APIRouter, Query

from chassis.answers import page
from chassis.db import Now, Reading, Session
from chassis.errors import Invalid
from chassis.fields import Currency, Day
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Listing, listing
from chassis.paging import Page
from services.budget.rate import store
from services.budget.rate.models import Conversion, Conversions, ImportedRate, RateRead, RatesImport, RatesImported
from services.budget.rate.rules import read_table

router = APIRouter(route_class=IdempotentRoute, tags=["rates"])

MOST_CURRENCIES = 50


@router.post("/v1/rates", status_code=201, dependencies=[scope("budget:approve")])
async def import_rates(sent: RatesImport, session: Session, who: CurrentPrincipal, now: Now) -> RatesImported:
    """Takes in newer rates than those that are shipped, or the company's own: all of them or, where one is wrong, none.
    Amounts that are pinned already keep their rates."""
    found = read_table(sent.csv.splitlines())
    known = list_currencies()
    if unknown := next((currency for currency, _, _ in found if currency not in known), None):
        raise Invalid.field("csv", f"row 1: no currency is called {unknown}", "unknown_currency")
    kept = await store.keep_rates(session, found, who.subject, now)
    days: list[date] = [day for _, day, _ in found]
    return RatesImported(rates=kept, first=min(days), last=max(days))


@router.get("/v1/rates", dependencies=[scope("budget:read")])
async def list_rates(
    reading: Reading,
    asked: Listing[RateRead] = listing(ImportedRate, RateRead, sort=("day",), by=("currency", "day")),
) -> Page[RateRead]:
    """What the workspace imported; the reference rates that are shipped aren't among them."""
    return await page(reading, asked)


@router.get("/v1/conversions", dependencies=[scope("budget:read")])
async def get_conversions(
    reading: Reading,
    currency: Annotated[
        list[Currency], Query(min_length=1, max_length=MOST_CURRENCIES, examples=[["USD"]], description="Of these.")
    ],
    into: Annotated[Currency, Query(description="In this one.", examples=["EUR"])],
    day: Annotated[Day, Query(description="As of this day.", examples=["2026-06-15"])],
) -> Conversions:
    """The rates of several currencies in one, by way of the euro, as of a day. 409 `no_rate` where none is known
    that is at most 92 days old."""
    found = await store.rates_of(reading, currency, into, day)
    return Conversions(conversions=[Conversion.of(rate) for rate in found.values()])
