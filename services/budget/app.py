"""Decides which slices make up the budget service."""

from chassis.service import create_service
from services.budget.band import api as band
from services.budget.company import api as company
from services.budget.contract import api as contract
from services.budget.contract.actions import FOLLOW_CONTRACTS
from services.budget.db import METADATA
from services.budget.delegation import api as delegation
from services.budget.events import CONSUMES
from services.budget.export import api as export
from services.budget.fiscal import api as fiscal
from services.budget.forecast import api as forecast
from services.budget.invoice import api as invoice
from services.budget.ledger import api as ledger
from services.budget.mapping import api as mapping
from services.budget.obligation import api as obligation
from services.budget.obligation.actions import TELL_OF_OVERDUE
from services.budget.person import api as person
from services.budget.plan import api as plan
from services.budget.policy import api as policy
from services.budget.rate import api as rate
from services.budget.renewal import api as renewal
from services.budget.request import api as request
from services.budget.request.actions import EXPIRE
from services.budget.request.together import deciding
from services.budget.revaluation import api as revaluation
from services.budget.scenario import api as scenario
from services.budget.seat import api as seat
from services.budget.statement import api as statement
from services.budget.statement.actions import GO_ON
from services.budget.transfer import api as transfer
from services.budget.vendor import api as vendor

app = create_service(
    "budget",
    # Routes are tried in this order, so what is asked for most comes first.
    request.router,
    ledger.router,
    plan.router,
    fiscal.router,
    scenario.router,
    revaluation.router,
    forecast.router,
    export.router,
    company.router,
    transfer.router,
    band.router,
    delegation.router,
    invoice.router,
    policy.router,
    rate.router,
    vendor.router,
    contract.router,
    renewal.router,
    obligation.router,
    seat.router,
    person.router,
    mapping.router,
    statement.uploads,
    statement.router,
    metadata=METADATA,
    description="Budget lines, who asked for their money and who approved, a ledger that says what became of it, and"
    " software that is paid for and used.",
    consumes=CONSUMES,
    jobs=(EXPIRE, FOLLOW_CONTRACTS, TELL_OF_OVERDUE, GO_ON),
    resources=(deciding,),
    body_limits={"/v1/statements": "statement_limit"},
)
