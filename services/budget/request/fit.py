"""Decides whether a request would fit now, and what else there is where it doesn't."""

from collections import defaultdict
from datetime import datetime
from decimal import ROUND_FLOOR
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.db import zone_of
from chassis.errors import Invalid
from chassis.fields import Money
from chassis.reading import Reader
from services.budget.ledger import store as ledger
from services.budget.plan.store import frame_of
from services.budget.rate import store as rates
from services.budget.rate.rules import Rate
from services.budget.request import store
from services.budget.request.models import Fit, LineFit, SpendRequestCreate


async def fit_of(reader: Reader, create: SpendRequestCreate, now: datetime) -> Fit:
    """The numbers of every line that it names; alternatives to the one that speaks for it."""
    day = now.astimezone(ZoneInfo(await zone_of(reader))).date()
    parts = create.parts()
    found = {key: (currency, amounts) for key, currency, amounts in
             await ledger.line_balances(reader, [create.line_id, *(part.line_id for part in parts)])}  # fmt: skip
    for name, line_id in [("line_id", create.line_id), *(
        (f"items.{place}.line_id", part.line_id) for place, part in enumerate(create.items)
    )]:  # fmt: skip
        if line_id not in found:
            raise Invalid.field(name, f"no line {line_id}", "unknown")
    asked: dict[UUID, int] = defaultdict(int)
    for part in parts:
        asked[part.line_id] += part.amount.minor
    lines = []
    for line_id, minor in asked.items():
        currency, amounts = found[line_id]
        wanted = (await rates.rate_of(reader, create.amount.currency, currency, day)).of(minor)
        missing = max(0, wanted - amounts.available)
        numbers = {"available": amounts.available, "asked": wanted, "missing": missing}
        money = {name: Money.of_minor(minor, currency) for name, minor in numbers.items()}
        stops = (await ledger.standing(reader, line_id)).stops
        lines.append(LineFit(line_id=line_id, fits=not missing, stops=stops, **money))
    fits = all(line.fits or not line.stops for line in lines)
    frame = await frame_of(reader, create.line_id)
    currency, amounts = found[create.line_id]
    back = await rates.rate_of(reader, create.amount.currency, currency, day)
    whole = {"currency": currency, "needed": back.of(create.amount.minor), "but": create.line_id}
    common = {**whole, "department": frame.department, "campaign_id": create.campaign_id}
    room = most(amounts.available, back)
    return Fit(
        fits=fits, lines=lines,
        other_lines=[] if fits else await store.rooms(reader, **common),
        later=[] if fits else await store.rooms(reader, **common, from_day=frame.period_end),
        smaller=Money.of_minor(room, create.amount.currency) if not fits and room > 0 else None,
    )  # fmt: skip


def most(available: int, rate: Rate) -> int:
    """The most in a request's currency that a line with so much available has room for."""
    most_of = int((available / rate.value).scaleb(-rate.shift).to_integral_value(ROUND_FLOOR)) + 1
    while most_of > 0 and rate.of(most_of) > available:
        most_of -= 1
    return most_of
