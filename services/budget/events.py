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
from services.budget.fiscal.models import PeriodClosed, PeriodReopened
from services.budget.invoice.models import InvoicePosted
from services.budget.ledger.models import LineLow
from services.budget.request.actions import CampaignReleased, release_campaign
from services.budget.request.models import RequestDecided, RequestEnded, RequestSubmitted

PUBLISHES: tuple[type[Event], ...] = (
    CampaignReleased,
    ContractNoticeWindowOpened,
    ContractNoticeDeadlineMissed,
    ContractRenewed,
    ContractTerminated,
    ContractLapsed,
    InvoicePosted,
    LineLow,
    PeriodClosed,
    PeriodReopened,
    RequestDecided,
    RequestEnded,
    RequestSubmitted,
)
CONSUMES: Mapping[str, Handler] = {"goals.campaign.cancelled": release_campaign}
