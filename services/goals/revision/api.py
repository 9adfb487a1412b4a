"""Decides how an active goal is revised, and how its revisions are read."""

from collections.abc import Callable
from uuid import UUID

from fastapi import APIRouter

from chassis.answers import by_id, listed, of_row, read_of
from chassis.db import Now, Reading, Session
from chassis.editing import IfMatch, held
from chassis.errors import Conflict, Invalid
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Listing, Parent, listing
from chassis.outbox import record
from chassis.paging import Groups, Page
from services.goals.evaluation.actions import Looked, keep
from services.goals.events import GoalRevised
from services.goals.goal import store as goals
from services.goals.goal.models import Goal, GoalRead
from services.goals.goal.rules import KEEPING, GoalState, change_problem, resolve_target, scale_of
from services.goals.revision import store
from services.goals.revision.models import GoalRevise, GoalTerms, Revision, RevisionRead
from services.goals.revision.rules import check_revision

router = APIRouter(route_class=IdempotentRoute, tags=["revisions"])


@router.post("/v1/goals/{id}/revise", dependencies=[scope("goals:approve")])
async def revise_goal(
    id: UUID, revise: GoalRevise, looked: Looked, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> GoalRead:
    """Gives an active goal another target or window, and keeps what it asked for before.

    A change in percent is of the baseline that was pinned; if the metric's definition has changed since, baseline and
    version are pinned anew. 409 `not_active`; `window_over` once the window has ended; `changed` if it was changed or
    decided meanwhile; 503 while metrics can't be asked.
    """
    goal = await held(session, Goal, id, if_match)
    if goal.state is not GoalState.ACTIVE:
        raise Conflict(f"the goal is {goal.state}; only an active goal is revised", code="not_active")
    found = (await keep(session, *looked, now)).get(id)
    if found is None or goal.closed_at is not None:
        raise Conflict("the goal was changed or decided while it was looked at: read it again", code="changed")
    (subject,), answers = looked
    before = GoalTerms.of(goal)
    target, window = revise.target or goal.target, revise.window or goal.window
    is_measured = found.metric_version == goal.metric_version
    if is_measured and (target, window) == (goal.target, goal.window):
        raise Conflict("it asks for this already", code="nothing_changes")
    if problem := change_problem(goal.kind, target.change_percent, has_baseline=goal.baseline_days is not None):
        raise Invalid.field("target.change_percent", problem)
    old_window = goal.window_days
    goal.sqlmodel_update({**target.columns(), **window.columns()})
    check_revision(old_window, goal.window_days, subject.today, is_measured=is_measured)
    if not is_measured:
        total = subject.total(answers, goal.baseline_days)
        goal.baseline_value = total.value if total else None
        goal.baseline_watermark = total.watermark if total else None
        goal.metric_version, goal.adds_up = found.metric_version, found.adds_up
    scale = scale_of(goal.baseline_days, goal.window_days, bool(goal.adds_up))
    resolved = resolve_target(goal.kind, goal.change_percent, goal.asked_value, goal.baseline_value, scale)
    if resolved is None or (goal.adds_up and resolved <= 0 and goal.kind not in KEEPING):
        raise Invalid.field("target", "there is no way to this target from what is measured", "no_way")
    goal.target_value, goal.changed_at, goal.evaluate_at = resolved, now, now
    await store.keep_revision(session, goal, before, revise.reason, who.subject, now)
    await record(session, GoalRevised(goal_id=id, target_value=resolved, window_due=goal.window_due), id, now)
    return await read_of(session, GoalRead, goal, campaign_ids=by_id(goals.campaigns_of))


@router.get("/v1/revisions", dependencies=[scope("goals:read")])
async def list_revisions(
    reading: Reading,
    asked: Listing[RevisionRead] = listing(Revision, RevisionRead, parents={"goal_id": Parent(Revision.goal_id)}),
) -> Page[RevisionRead] | Groups[RevisionRead]:
    """What goals asked for before, the oldest revision first unless sorted otherwise."""
    return await listed(reading, asked, before=of_row(_terms("before")), after=of_row(_terms("after")))


def _terms(name: str) -> Callable[[Revision], GoalTerms]:
    return lambda revision: GoalTerms.model_validate(getattr(revision, name))
