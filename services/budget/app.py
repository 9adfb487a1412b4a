"""Decides which slices make up the budget service."""

from chassis.service import create_service
from services.budget.contract import api as contract
from services.budget.contract.actions import FOLLOW_CONTRACTS
from services.budget.db import METADATA
from services.budget.events import CONSUMES
from services.budget.ledger import api as ledger
from services.budget.obligation import api as obligation
from services.budget.person import api as person
from services.budget.plan import api as plan
from services.budget.seat import api as seat
from services.budget.vendor import api as vendor

app = create_service(
    "budget",
    plan.router,
    ledger.router,
    vendor.router,
    contract.router,
    obligation.router,
    seat.router,
    person.router,
    metadata=METADATA,
    description="Budget lines, a ledger that says what became of their money, and software that is paid for and used.",
    consumes=CONSUMES,
    jobs=(FOLLOW_CONTRACTS,),
)
