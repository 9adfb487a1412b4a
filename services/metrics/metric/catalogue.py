"""Decides which metrics there are in every workspace."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from services.metrics.metric.rules import (
    MEASURES,
    Combining,
    Definition,
    DistinctKey,
    ImpressionsFrom,
    MetricDirection,
    MetricUnit,
    adds_up,
    flavours,
)

UP, DOWN = MetricDirection.UP, MetricDirection.DOWN
# What own metrics' keys can't begin with: what is shipped, or will be.
RESERVED = ("email", "web", "lead", "funnel", "journey", "audience", "experiment", "budget", "quality")


def _with_flavours(raw: Definition) -> list[Definition]:
    found = replace(raw, additive=adds_up(raw, {}))
    return [found, *flavours(found)]


def _count(
    key: str, name: str, measure: str, direction: MetricDirection = UP, words: str = "", **more: Any
) -> list[Definition]:
    return _with_flavours(
        Definition(
            key=key,
            version=1,
            name=name,
            words=words or f"Counts {MEASURES[measure].words}.",
            unit=MetricUnit.COUNT,
            direction=direction,
            expression=measure,
            **more,
        )
    )


def _percent(
    key: str, name: str, numerator: str, denominator: str, direction: MetricDirection = UP, words: str = "", **more: Any
) -> list[Definition]:
    expression = f"100 * {numerator} / {denominator}"
    meaning = f"{MEASURES[numerator].words}, for each hundred of {MEASURES[denominator].words}"
    return _with_flavours(
        Definition(
            key=key,
            version=1,
            name=name,
            unit=MetricUnit.PERCENT,
            direction=direction,
            expression=expression,
            words=f"{expression}: {meaning}.{words}",
            **more,
        )
    )


_RECIPIENTS: dict[str, Any] = {"distinct_key": DistinctKey.RECIPIENT}
_DELIVERED: dict[str, Any] = {"impressions_from": ImpressionsFrom.DELIVERIES}
_ALL: list[Iterable[Definition]] = [
    _percent(
        "email.ctr", "Click-through rate", "clicks", "unique_recipient_impressions",
        words=" Clicks are total clicks, so it may pass 100.",
    ),
    _percent(
        "email.ctr_of_delivered", "Click-through rate of what was delivered", "clicks", "unique_recipient_impressions",
        words=" Here a message counts as displayed once it is delivered. Clicks are total clicks.", **_DELIVERED,
    ),
    _count("email.total_clicks", "Total clicks", "clicks"),
    _count("email.unique_clicks", "Unique clicks", "unique_clicks"),
    _count(
        "email.unique_clickers", "Unique clickers", "unique_clicks", **_RECIPIENTS,
        words="Counts distinct recipients who clicked a link in any message.",
    ),
    _count("email.unique_recipient_impressions", "Unique recipient impressions", "unique_recipient_impressions"),
    _count("email.opens", "Opens", "opens"),
    _count("email.unique_opens", "Unique opens", "unique_opens"),
    _count(
        "email.unique_openers", "Unique openers", "unique_opens", **_RECIPIENTS,
        words="Counts distinct recipients who opened any message.",
    ),
    _count("email.sends", "Sends", "sends"),
    _count("email.deliveries", "Deliveries", "deliveries"),
    _count("email.unique_deliveries", "Unique deliveries", "unique_deliveries"),
    _count("email.deferrals", "Deferrals", "deferrals", DOWN),
    _count("email.bounces", "Bounces", "bounces", DOWN),
    _count("email.rejections", "Rejections", "rejections", DOWN),
    _count("email.complaints", "Complaints", "complaints", DOWN),
    _count("email.unsubscribes", "Unsubscribes", "unsubscribes", DOWN),
    _count("email.subscribes", "Subscribes", "subscribes"),
    _percent("email.open_rate", "Open rate", "unique_recipient_impressions", "deliveries"),
    _percent("email.click_rate", "Unique click rate", "unique_clicks", "deliveries"),
    _percent("email.click_to_open", "Click-to-open rate", "unique_clicks", "unique_opens"),
    _percent("email.delivery_rate", "Delivery rate", "deliveries", "sends"),
    _percent("email.bounce_rate", "Bounce rate", "bounces", "sends", DOWN),
    _percent("email.complaint_rate", "Complaint rate", "complaints", "deliveries", DOWN),
    _percent("email.unsubscribe_rate", "Unsubscribe rate", "unsubscribes", "deliveries", DOWN),
]  # fmt: skip
_VISITS = Definition(
    key="web.visits", version=1, name="Visits", words="Visits of the website, as whoever counts them tells.",
    unit=MetricUnit.COUNT, direction=UP, expression=None, observed=Combining.SUM, additive=True,
)  # fmt: skip
_ALL.append([_VISITS])
CATALOGUE: Mapping[str, Definition] = {each.key: each for found in _ALL for each in found}
