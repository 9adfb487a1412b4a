"""Decides what metrics tells others, and what it does when it hears of something."""

from collections.abc import Mapping

from chassis.inbox import Handler
from chassis.outbox import Event
from services.metrics.alert.models import AnomalyFound, ThresholdCrossed
from services.metrics.campaign.actions import learn_campaign
from services.metrics.change.models import NumbersChanged
from services.metrics.rollup.actions import change_workspace

PUBLISHES: tuple[type[Event], ...] = (NumbersChanged, ThresholdCrossed, AnomalyFound)
CONSUMES: Mapping[str, Handler] = {
    "goals.campaign.created": learn_campaign,
    # In place of the chassis's own: days depend on the zone.
    "gateway.workspace.changed": change_workspace,
}
