"""Decides what budget tells others, and what it does when it hears of something."""

from collections.abc import Mapping

from chassis.inbox import Handler
from chassis.outbox import Event
from services.budget.contract.models import (
    ContractLapsed,
    ContractNoticeDeadlineMissed,
    ContractNoticeWindowOpened,
    ContractRenewed,
    ContractTerminated,
)
from services.budget.ledger.actions import CampaignReleased, release_campaign

PUBLISHES: tuple[type[Event], ...] = (
    CampaignReleased,
    ContractNoticeWindowOpened,
    ContractNoticeDeadlineMissed,
    ContractRenewed,
    ContractTerminated,
    ContractLapsed,
)
CONSUMES: Mapping[str, Handler] = {"goals.campaign.cancelled": release_campaign}
