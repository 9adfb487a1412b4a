"""Decides how a scenario becomes the plan: all of it, or nothing."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import add_row, get_row, workspace_of
from chassis.outbox import record
from services.budget.ledger import actions as ledger
from services.budget.ledger import store as ledger_store
from services.budget.ledger.rules import Amounts, EntryKind, Leg, Original
from services.budget.plan import store as plan
from services.budget.plan.models import Line
from services.budget.plan.rules import assert_fits, assert_holds
from services.budget.scenario import store
from services.budget.scenario.models import Scenario, ScenarioAdopted, ScenarioLine
from services.budget.scenario.rules import Planned, ScenarioState, assert_draft, name_before, shift


async def adopt(session: AsyncSession, scenario: Scenario, who: str, now: datetime) -> None:
    """Gives every line what the scenario says, by transfers within the tree; what is missing or left over in all comes
    from above the first line or goes back there. DoesNotFit, with the numbers, where a line can't give that much."""
    assert_draft(scenario.state)
    planned = await store.lines_of(session, scenario.id)
    lines = {each.line_id: await get_row(session, Line, each.line_id, lock=True) for each in planned}
    scenario.state, scenario.decided_by, scenario.decided_at = ScenarioState.ADOPTED, who, now
    periods = {line.id: (line.period_start, line.period_end) for line in lines.values()}
    await _set_periods(session, planned, lines)
    root = lines[scenario.line_id]
    above = [root.parent_id] if root.parent_id else []
    # All at once in one order, as several movements follow.
    found = await ledger_store.lock_lines(session, [*lines, *above])
    given = {each: found[each].balance.allotted + found[each].balance.transferred for each in lines}
    was = [Planned(each.line_id, given[each.line_id], root.currency, *periods[each.line_id]) for each in planned]
    was_id = await _keep_what_was(session, scenario, was, who, now)
    today = await ledger.today_of(session, now)
    change = shift(root.id, given, {each.line_id: each.minor for each in planned})

    async def move(kind: EntryKind, legs: list[Leg]) -> None:
        if legs:
            await ledger.move(session, kind, legs, who=who, now=now, reason=scenario.name, subject_id=scenario.id)

    def leg(line_id: UUID, minor: int) -> Leg:
        return Leg(line_id, Amounts(transferred=minor), Original(minor, root.currency, Decimal(1), today))

    outside = []
    if change.outside and root.parent_id:
        outside = [leg(root.parent_id, -change.outside), leg(root.id, change.outside)]
    elif change.outside:
        outside = [Leg(root.id, Amounts(allotted=change.outside))]
    within = [leg(line_id, minor) for line_id, minor in change.within.items()]
    # What comes in comes first, and what goes out goes last: no line is short of what it is about to get.
    if change.outside > 0:
        await move(EntryKind.ALLOT, outside)
    await move(EntryKind.TRANSFER, within)
    if change.outside < 0:
        await move(EntryKind.ALLOT, outside)
    adopted = ScenarioAdopted(scenario_id=scenario.id, line_id=scenario.line_id, was_id=was_id)
    await record(session, adopted, scenario.id, now)


async def _keep_what_was(
    session: AsyncSession, scenario: Scenario, was: Sequence[Planned], who: str, now: datetime
) -> UUID:
    """The plan that ends, as a scenario of its own: it can be looked up, compared and adopted again."""
    row = {
        "workspace_id": workspace_of(session), "name": name_before(scenario.name), "line_id": scenario.line_id,
        "before_id": scenario.id, "created_by": who, "created_at": now,
    }  # fmt: skip
    before = Scenario.model_validate(row)
    await add_row(session, before)
    await store.copy_tree(session, before.id, was)
    return before.id


async def _set_periods(session: AsyncSession, planned: list[ScenarioLine], lines: dict[UUID, Line]) -> None:
    """As the scenario has them, within the period of what lies above and around those of what lies below."""
    changed = []
    for each in planned:
        line = lines[each.line_id]
        if (line.period_start, line.period_end) != (each.period_start, each.period_end):
            line.period_start, line.period_end = each.period_start, each.period_end
            changed.append(line)
    await session.flush()
    for line in changed:
        if line.parent_id is not None:
            parent = lines.get(line.parent_id) or await plan.get_parent(session, line.parent_id)
            assert_fits(line.frame, parent.frame)
        if reach := await plan.reach_of_children(session, line.id):
            assert_holds(line.frame, *reach)
