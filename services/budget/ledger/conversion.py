"""Decides what a campaign's money is in the reporting currency, where its lines are in several."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.db import zone_of
from chassis.errors import Conflict
from chassis.reading import Reader
from services.budget.ledger import store
from services.budget.ledger.rules import Amounts, MixedCurrencies
from services.budget.rate import store as rates
from services.budget.rate.rules import Rate


async def campaign_positions(
    reader: Reader, campaign_ids: Sequence[UUID], now: datetime
) -> tuple[str, dict[UUID, Amounts | MixedCurrencies]]:
    """The reporting currency, and what each campaign has in it; one query more where a line is in another currency."""
    reporting, found = await store.campaign_sums(reader, campaign_ids)
    foreign = sorted({currency for sums in found.values() for currency in sums} - {reporting})
    known: dict[str, Rate] = {}
    day = now.astimezone(ZoneInfo(await zone_of(reader))).date()
    for currency in foreign:
        try:
            known[currency] = await rates.rate_of(reader, currency, reporting, day)
        except Conflict:
            continue  # a currency without a rate costs the campaigns that it is in, and no other
    return reporting, {key: summed(sums, reporting, known) for key, sums in found.items()}


def summed(sums: Mapping[str, Amounts], reporting: str, known: Mapping[str, Rate]) -> Amounts | MixedCurrencies:
    """What amounts in several currencies are in one. Each account of each currency is rounded once."""
    if not set(sums) - {reporting} <= set(known):
        return MixedCurrencies(tuple(sorted(sums)), reporting)
    total = Amounts()
    for currency, amounts in sums.items():
        if currency != reporting:
            rate = known[currency]
            amounts = replace(amounts, **{pot: rate.of(minor) for pot, minor in vars(amounts).items()})
        total = total + amounts
    return total
