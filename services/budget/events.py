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
from services.budget.invoice.models import InvoiceExcepted, InvoicePosted
from services.budget.ledger.models import LineLow, LineMoved, LineOverspent
from services.budget.obligation.models import ObligationOverdue
from services.budget.request.actions import CampaignReleased, release_campaign
from services.budget.request.models import RequestDecided, RequestEnded, RequestOrdered, RequestSubmitted
from services.budget.scenario.models import ScenarioAdopted
from services.budget.statement.models import StatementFinished
from services.budget.transfer.models import TransferDecided

PUBLISHES: tuple[type[Event], ...] = (
    CampaignReleased,
    ContractNoticeWindowOpened,
    ContractNoticeDeadlineMissed,
    ContractRenewed,
    ContractTerminated,
    ContractLapsed,
    InvoiceExcepted,
    InvoicePosted,
    LineLow,
    LineMoved,
    LineOverspent,
    ObligationOverdue,
    PeriodClosed,
    PeriodReopened,
    RequestDecided,
    RequestEnded,
    RequestOrdered,
    RequestSubmitted,
    ScenarioAdopted,
    StatementFinished,
    TransferDecided,
)
CONSUMES: Mapping[str, Handler] = {"goals.campaign.cancelled": release_campaign}
