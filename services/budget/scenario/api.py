"""Decides what callers can do with scenarios: other plans, compared with the one that holds, and adopted or not."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from chassis.answers import listed, read_row
from chassis.db import Now, Reading, Session, add_row, get_row, workspace_of
from chassis.editing import IfMatch, edited, held
from chassis.errors import Invalid, NotFound
from chassis.fields import Interval, Money
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Fields, Listing, Parent, fields_of, listing
from chassis.paging import Groups, Page
from services.budget.scenario import store
from services.budget.scenario.actions import adopt
from services.budget.scenario.models import (
    Scenario,
    ScenarioComparison,
    ScenarioCreate,
    ScenarioDifference,
    ScenarioLine,
    ScenarioLinePatch,
    ScenarioLinePlan,
    ScenarioLineRead,
    ScenarioPatch,
    ScenarioRead,
)
from services.budget.scenario.rules import MOST_LINES, ScenarioState, assert_amount, assert_draft

router = APIRouter(route_class=IdempotentRoute, tags=["scenarios"])


@router.post("/v1/scenarios", status_code=201, dependencies=[scope("budget:write")])
async def create_scenario(create: ScenarioCreate, session: Session, who: CurrentPrincipal, now: Now) -> ScenarioRead:
    """Copies a line and all that lie below it, with what they have and when they are for. Changes nothing of them."""
    tree = await store.tree_of(session, create.line_id)
    if not tree:
        raise Invalid.field("line_id", f"no line {create.line_id}", "unknown")
    if len(tree) > MOST_LINES:
        raise Invalid.field("line_id", f"{len(tree)} lines; {MOST_LINES} at most", "too_many")
    row = {"workspace_id": workspace_of(session), "created_by": who.subject, "created_at": now}
    scenario = Scenario.model_validate(create.model_dump() | row)
    await add_row(session, scenario)
    await store.copy_tree(session, scenario.id, tree)
    return ScenarioRead.of(scenario)


@router.get("/v1/scenarios/{id}", dependencies=[scope("budget:read")])
async def get_scenario(id: UUID, reading: Reading, fields: Fields = fields_of(ScenarioRead)) -> ScenarioRead:
    """One scenario."""
    return await read_row(reading, Scenario, id, ScenarioRead, fields)


@router.get("/v1/scenarios", dependencies=[scope("budget:read")])
async def list_scenarios(
    reading: Reading,
    asked: Listing[ScenarioRead] = listing(
        Scenario, ScenarioRead, sort=("name", "created_at"), by=("state", "created_at"),
        parents={"line_id": Parent(Scenario.line_id), "before_id": Parent(Scenario.before_id)},
    ),
) -> Page[ScenarioRead] | Groups[ScenarioRead]:  # fmt: skip
    """Scenarios, the oldest first unless sorted otherwise. With `limit_per`: so many for each line."""
    return await listed(reading, asked)


@router.patch("/v1/scenarios/{id}", dependencies=[scope("budget:write")])
async def update_scenario(id: UUID, patch: ScenarioPatch, if_match: IfMatch, session: Session) -> ScenarioRead:
    """Calls it something else. 409 `not_a_draft` once it was adopted or discarded."""
    scenario = await held(session, Scenario, id, if_match)
    assert_draft(scenario.state)
    scenario.name = edited(ScenarioCreate, ScenarioRead.of(scenario), patch).name
    await session.flush()
    return ScenarioRead.of(scenario)


@router.post("/v1/scenarios/{id}/adopt", dependencies=[scope("budget:approve")])
async def adopt_scenario(
    id: UUID, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> ScenarioRead:
    """Makes it the plan: every line has what the scenario says, through the ledger, and its days. All of it or nothing:
    409 `does_not_fit`, with `line_id`, `available`, `asked`, `missing` and `currency`, where a `stop` line has spent or
    promised more than it would keep. What is needed in all comes out of the line above the first one; without one, it
    is allotted. What was the plan until then is kept as a scenario with `before_id`, which to adopt takes this back."""
    scenario = await held(session, Scenario, id, if_match)
    await adopt(session, scenario, who.subject, now)
    return ScenarioRead.of(scenario)


@router.post("/v1/scenarios/{id}/discard", dependencies=[scope("budget:write")])
async def discard_scenario(
    id: UUID, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> ScenarioRead:
    """Says that it won't be. It can still be read."""
    scenario = await held(session, Scenario, id, if_match)
    assert_draft(scenario.state)
    scenario.state, scenario.decided_by, scenario.decided_at = ScenarioState.DISCARDED, who.subject, now
    await session.flush()
    return ScenarioRead.of(scenario)


@router.get("/v1/scenario-lines", dependencies=[scope("budget:read")])
async def list_scenario_lines(
    reading: Reading,
    asked: Listing[ScenarioLineRead] = listing(
        ScenarioLine, ScenarioLineRead,
        parents={"scenario_id": Parent(ScenarioLine.scenario_id), "line_id": Parent(ScenarioLine.line_id)},
    ),
) -> Page[ScenarioLineRead] | Groups[ScenarioLineRead]:  # fmt: skip
    """Lines of scenarios, those above before those below. With `limit_per`: so many for each scenario or line."""
    return await listed(reading, asked)


@router.patch("/v1/scenario-lines/{id}", dependencies=[scope("budget:write")])
async def update_scenario_line(
    id: UUID, patch: ScenarioLinePatch, if_match: IfMatch, session: Session
) -> ScenarioLineRead:
    """Plans another amount or other days for a line. 409 `not_a_draft` once the scenario was adopted or discarded."""
    found = await get_row(session, ScenarioLine, id)
    # In the order in which adopting it locks them.
    assert_draft((await get_row(session, Scenario, found.scenario_id, lock=True)).state)
    line = await held(session, ScenarioLine, id, if_match)
    wanted = edited(ScenarioLinePlan, ScenarioLineRead.of(line), patch)
    assert_amount(wanted.amount.minor, wanted.amount.currency, line.currency)
    line.sqlmodel_update(wanted.columns())
    await session.flush()
    return ScenarioLineRead.of(line)


@router.get("/v1/scenarios/{id}/comparison", dependencies=[scope("budget:read")])
async def get_scenario_comparison(id: UUID, reading: Reading) -> ScenarioComparison:
    """Every line of a scenario side by side with what it is now: money and days."""
    found = [_difference(row) for row in await store.differences(reading, id)]
    if not found:
        raise NotFound(f"no scenario {id}")
    return ScenarioComparison(lines=found)


def _difference(row: Any) -> ScenarioDifference:
    def money(minor: Any) -> Money:
        return Money.of_minor(int(minor), row.currency)

    return ScenarioDifference.of(
        row, now=money(row.minor), scenario=money(row.wanted), difference=money(row.wanted - row.minor),
        available=money(row.available), period=Interval.of(row.period_start, row.period_end),
        scenario_period=Interval.of(row.wanted_start, row.wanted_end),
    )  # fmt: skip
