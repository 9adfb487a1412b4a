"""Decides how what is held in other currencies is brought to a day's rates."""

from fastapi import APIRouter

from chassis.db import Now, Session
from chassis.fields import Money
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from services.budget.ledger.actions import today_of
from services.budget.ledger.revaluing import Revalued, revalue_all
from services.budget.revaluation.models import HoldRevaluation, RevaluationCreate, RevaluationRead
from services.budget.revaluation.rules import assert_has_come

router = APIRouter(route_class=IdempotentRoute, tags=["revaluations"])


def _read(each: Revalued) -> HoldRevaluation:
    hold, into = each.hold, each.hold.line_currency
    return HoldRevaluation(
        hold_id=hold.id, line_id=hold.line_id, subject_id=hold.subject_id,
        original=Money.of_minor(hold.original, hold.currency), before=Money.of_minor(hold.amount, into),
        difference=Money.of_minor(each.difference, into), rate=each.rate and each.rate.value,
        rate_on=each.rate and each.rate.day, problem=each.problem,
        available=None if each.available is None else Money.of_minor(each.available, into),
    )  # fmt: skip


@router.post("/v1/revaluations", status_code=201, dependencies=[scope("budget:approve")])
async def create_revaluation(
    create: RevaluationCreate, session: Session, who: CurrentPrincipal, now: Now
) -> RevaluationRead:
    """Values all that is reserved and committed in another currency than its line's by the rates of a day. Each
    difference is an entry (`revalue`), so that `fx` explains it. What a `stop` line doesn't have stays as it was, and
    is an exception. Run again for the same day, it finds nothing to do but what was an exception."""
    today = await today_of(session, now)
    day = create.day or today
    assert_has_come(day, today)
    reason = f"revaluation as of {day}"
    found = await revalue_all(session, day, who=who.subject, now=now, reason=reason, dry=create.dry_run)
    return RevaluationRead(
        day=day, dry_run=create.dry_run, revalued=[_read(each) for each in found if each.problem is None],
        exceptions=[_read(each) for each in found if each.problem is not None],
    )  # fmt: skip
