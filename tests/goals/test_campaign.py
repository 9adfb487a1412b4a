"""What a campaign promises."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from chassis.db import Database
from chassis.fields import Money, new_id, rfc3339
from chassis.inbox import Incoming
from chassis.testing import Clock
from services.budget.ledger import actions as ledger
from services.goals.campaign.actions import follow_due_dates, hear_of_release
from tests.budget.test_plan import LINE
from tests.parts import Connect, Deliver, Workspace

# The clock stands at the middle of June 2026.
SUMMER = {"start": "2026-06-01", "end": "2026-09-01"}
GOAL = {
    "title": "More clicks", "metric": {"key": "email.total_clicks"}, "kind": "reach", "target": {"value": 100},
    "window": {"start": "2026-01-01", "due": "2027-01-01"},
}  # fmt: skip
AUTUMN = {"start": "2026-09-01", "end": "2026-12-01"}

SPRING = {
    "name": "Spring launch", "slug": "spring-launch", "brief": "More clicks", "channels": ["email"],
    "territories": ["DE"],
    "flight": {"start": "2026-03-01", "end": "2026-06-01"},
}  # fmt: skip


async def test_a_campaign_begins_as_an_idea(goals: httpx.AsyncClient) -> None:
    created = await goals.post("/v1/campaigns", json=SPRING)
    assert created.status_code == 201, created.text
    campaign = created.json()
    assert campaign["state"] == "idea"
    assert (await goals.get(f"/v1/campaigns/{campaign['id']}")).json() == campaign


async def test_a_slug_is_taken_once_in_a_workspace_and_free_in_another(
    goals: httpx.AsyncClient, connect: Connect, other_workspace: Workspace
) -> None:
    assert (await goals.post("/v1/campaigns", json=SPRING)).status_code == 201
    again = await goals.post("/v1/campaigns", json=SPRING)
    assert again.status_code == 409
    assert again.headers["content-type"] == "application/problem+json"
    assert again.json()["errors"][0]["field"] == "slug"
    assert (await connect("goals", other_workspace).post("/v1/campaigns", json=SPRING)).status_code == 201


async def campaign_with_goal(goals: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    created = await goals.post("/v1/campaigns", json=SPRING | changes)
    assert created.status_code == 201, created.text
    goal = GOAL | {"campaign_ids": [created.json()["id"]]}
    answer = await goals.post("/v1/goals", json=goal)
    assert answer.status_code == 201, answer.text
    return await read(goals, created.json())


async def read(goals: httpx.AsyncClient, campaign: dict[str, Any]) -> dict[str, Any]:
    answer = await goals.get(f"/v1/campaigns/{campaign['id']}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def do(goals: httpx.AsyncClient, campaign: dict[str, Any], verb: str, **request: Any) -> httpx.Response:
    return await goals.post(f"/v1/campaigns/{campaign['id']}/{verb}", **request)


async def state_after(goals: httpx.AsyncClient, campaign: dict[str, Any], verb: str, **request: Any) -> str:
    answer = await do(goals, campaign, verb, **request)
    assert answer.status_code == 200, answer.text
    assert answer.json() == await read(goals, campaign)
    return str(answer.json()["state"])


async def edit(goals: httpx.AsyncClient, campaign: dict[str, Any], **changes: Any) -> httpx.Response:
    headers = {"If-Match": str((await read(goals, campaign))["version"])}
    return await goals.patch(f"/v1/campaigns/{campaign['id']}", json=changes, headers=headers)


async def test_a_campaign_that_serves_no_goal_cannot_be_planned(goals: httpx.AsyncClient) -> None:
    campaign = (await goals.post("/v1/campaigns", json=SPRING)).json()
    refused = await do(goals, campaign, "plan")
    assert (refused.status_code, refused.json()["code"]) == (409, "no_goal")
    assert (await read(goals, campaign))["state"] == "idea"


async def test_a_campaign_goes_from_idea_to_archive(goals: httpx.AsyncClient, clock: Clock) -> None:
    campaign = await campaign_with_goal(goals, flight=SUMMER)
    assert await state_after(goals, campaign, "plan") == "planned"
    assert await state_after(goals, campaign, "approve") == "live"
    assert await state_after(goals, campaign, "pause", json={"reason": "late"}) == "paused"
    assert (await read(goals, campaign))["state_reason"] == "late"
    assert await state_after(goals, campaign, "resume") == "live"
    assert await state_after(goals, campaign, "complete") == "completed"
    assert await state_after(goals, campaign, "archive") == "archived"
    found = await read(goals, campaign)
    assert (found["state_by"], found["state_at"], found["state_reason"]) == ("client:test", rfc3339(clock.now), None)


async def test_what_is_not_next_is_refused(goals: httpx.AsyncClient) -> None:
    campaign = await campaign_with_goal(goals)
    for verb in ("approve", "resume", "complete", "archive"):
        refused = await do(goals, campaign, verb)
        assert (refused.status_code, refused.json()["code"]) == (409, "wrong_state"), verb


async def test_a_specialist_plans_and_a_manager_approves(
    goals: httpx.AsyncClient, connect: Connect, workspace: Workspace
) -> None:
    campaign = await campaign_with_goal(goals, flight=AUTUMN)
    specialist = connect("goals", workspace, "specialist")
    assert await state_after(specialist, campaign, "plan") == "planned"
    assert (await do(specialist, campaign, "approve")).status_code == 403
    assert await state_after(connect("goals", workspace, "manager"), campaign, "approve") == "approved"


async def test_dates_move_an_approved_campaign_at_midnight_in_the_workspaces_zone(
    goals: httpx.AsyncClient, apps: dict[str, FastAPI], connect: Connect, workspace: Workspace, clock: Clock
) -> None:
    campaign = await campaign_with_goal(goals, flight={"start": "2026-10-25", "end": "2026-10-26"})
    await do(goals, campaign, "plan")
    assert await state_after(goals, campaign, "approve") == "approved"
    # Summer time ends that night: the day begins at 22:00 UTC and ends at 23:00 UTC of the next.
    for moment, state in {
        "2026-10-24T21:59:59+00:00": "approved",
        "2026-10-24T22:00:00+00:00": "live",
        "2026-10-25T22:59:59+00:00": "live",
        "2026-10-25T23:00:00+00:00": "completed",
    }.items():
        clock.now = datetime.fromisoformat(moment)
        await follow_due_dates(apps["goals"])
        found = await read(connect("goals", workspace), campaign)
        assert found["state"] == state, moment
    assert found["state_by"] == "system:goals"


async def test_what_was_missed_is_made_up_for_step_by_step(
    goals: httpx.AsyncClient, apps: dict[str, FastAPI], connect: Connect, workspace: Workspace, clock: Clock
) -> None:
    campaign = await campaign_with_goal(goals, flight=AUTUMN)
    await do(goals, campaign, "plan")
    await do(goals, campaign, "approve")
    clock.forward(days=400)
    await asyncio.gather(*(follow_due_dates(apps["goals"]) for _ in range(3)))
    assert (await read(connect("goals", workspace), campaign))["state"] == "completed"
    told = await told_of(apps, workspace, "goals.campaign.state_changed")
    assert [each["after"] for each in told] == ["planned", "approved", "live", "completed"]


async def test_a_paused_campaign_is_completed_when_its_flight_ends(
    goals: httpx.AsyncClient, apps: dict[str, FastAPI], connect: Connect, workspace: Workspace, clock: Clock
) -> None:
    campaign = await campaign_with_goal(goals, flight=SUMMER)
    for verb, body in {"plan": None, "approve": None, "pause": {"reason": "late"}}.items():
        await do(goals, campaign, verb, json=body)
    clock.forward(days=400)
    await follow_due_dates(apps["goals"])
    assert (await read(connect("goals", workspace), campaign))["state"] == "completed"


async def test_a_campaign_whose_flight_is_over_is_not_approved(goals: httpx.AsyncClient) -> None:
    campaign = await campaign_with_goal(goals)
    await do(goals, campaign, "plan")
    refused = await do(goals, campaign, "approve")
    assert (refused.status_code, refused.json()["code"]) == (409, "flight_over")


async def test_a_flight_that_moves_is_told_and_takes_effect(
    goals: httpx.AsyncClient, apps: dict[str, FastAPI], workspace: Workspace
) -> None:
    campaign = await campaign_with_goal(goals, flight=AUTUMN)
    await do(goals, campaign, "plan")
    await do(goals, campaign, "approve")
    moved = await edit(goals, campaign, flight=SUMMER)
    assert moved.status_code == 200, moved.text
    assert (moved.json()["state"], moved.json()["flight"]) == ("live", SUMMER)
    told = await told_of(apps, workspace, "goals.campaign.changed")
    assert told == [{"campaign_id": campaign["id"], "name": "Spring launch", "flight": SUMMER}]


@pytest.mark.parametrize(
    ("flight", "field"),
    [
        ({"start": "2026-06-02", "end": "2026-09-01"}, "flight.start"),
        ({"start": "2026-06-01", "end": "2026-06-15"}, "flight.end"),
    ],
)
async def test_a_campaign_that_has_begun_keeps_its_past(
    goals: httpx.AsyncClient, flight: dict[str, str], field: str
) -> None:
    campaign = await campaign_with_goal(goals, flight=SUMMER)
    await do(goals, campaign, "plan")
    await do(goals, campaign, "approve")
    refused = await edit(goals, campaign, flight=flight)
    assert (refused.status_code, [each["field"] for each in refused.json()["errors"]]) == (422, [field])
    assert (await read(goals, campaign))["flight"] == SUMMER


async def test_a_slug_never_changes(goals: httpx.AsyncClient) -> None:
    campaign = await campaign_with_goal(goals)
    refused = await edit(goals, campaign, slug="another")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "slug")


async def test_what_is_over_stays_as_it_was(goals: httpx.AsyncClient) -> None:
    campaign = await campaign_with_goal(goals)
    await do(goals, campaign, "cancel", json={"reason": "no money"})
    refused = await edit(goals, campaign, name="Other")
    assert (refused.status_code, refused.json()["code"]) == (409, "closed")


async def test_an_edit_that_changes_nothing_tells_nobody(
    goals: httpx.AsyncClient, apps: dict[str, FastAPI], workspace: Workspace
) -> None:
    campaign = await campaign_with_goal(goals)
    same = await edit(goals, campaign, name=campaign["name"], channels=campaign["channels"])
    assert same.json() == campaign
    assert await told_of(apps, workspace, "goals.campaign.changed") == []


async def test_a_cancelled_campaign_shows_who_has_acted_on_it(
    goals: httpx.AsyncClient, budget: httpx.AsyncClient, apps: dict[str, FastAPI], workspace: Workspace,
    deliver: Deliver,
) -> None:  # fmt: skip
    campaign = await campaign_with_goal(goals)
    line = (await budget.post("/v1/lines", json=LINE | {"campaign_id": campaign["id"]})).json()
    await budget.post(f"/v1/lines/{line['id']}/allot", json={"amount": {"amount": "100", "currency": "EUR"}})
    database: Database = apps["budget"].state.database
    async with database.tenant(workspace.id) as session:
        amount = Money.of_minor(30_00, "EUR")
        await ledger.reserve(session, UUID(line["id"]), amount, new_id(), who="test", now=datetime.now(UTC))
    assert await state_after(goals, campaign, "cancel", json={"reason": "no money"}) == "cancelled"
    waiting = [{"part": "budget", "effects": None, "confirmed_at": None}]
    assert (await read(goals, campaign))["confirmations"] == waiting
    await deliver()
    (confirmed,) = (await read(goals, campaign))["confirmations"]
    assert (confirmed["part"], confirmed["effects"]) == ("budget", 1)
    position = (await budget.get(f"/v1/lines/{line['id']}/position")).json()
    assert (position["reserved"]["amount"], position["available"]["amount"]) == ("0.00", "100.00")


async def test_a_cancellation_heard_twice_releases_once(
    goals: httpx.AsyncClient, apps: dict[str, FastAPI], workspace: Workspace, deliver: Deliver
) -> None:
    campaign = await campaign_with_goal(goals)
    await do(goals, campaign, "cancel", json={"reason": "no money"})
    await deliver()
    (first,) = (await read(goals, campaign))["confirmations"]
    event = Incoming(
        id=new_id(), source="/budget", type="budget.campaign.released", subject=campaign["id"],
        time=datetime.now(UTC), workspaceid=workspace.id, data={"campaign_id": campaign["id"], "effects": 7},
    )  # fmt: skip
    async with apps["goals"].state.database.tenant(workspace.id) as session:
        await hear_of_release(session, event)
    assert (await read(goals, campaign))["confirmations"] == [first]


async def test_a_verb_on_a_version_that_has_passed_changes_nothing(goals: httpx.AsyncClient) -> None:
    campaign = await campaign_with_goal(goals)
    await edit(goals, campaign, name="Other")
    headers = {"If-Match": str(campaign["version"])}
    assert (await do(goals, campaign, "plan", headers=headers)).status_code == 412
    assert (await read(goals, campaign))["state"] == "idea"


async def test_campaigns_are_found_by_state_and_owner(goals: httpx.AsyncClient) -> None:
    first = await campaign_with_goal(goals, owner="ada")
    await campaign_with_goal(goals, slug="other", owner="bob")
    await do(goals, first, "plan")

    async def found(**asked: Any) -> list[str]:
        return [each["slug"] for each in (await goals.get("/v1/campaigns", params=asked)).json()["items"]]

    assert await found(owner="ada") == await found(state="planned") == ["spring-launch"]
    assert await found(owner=["ada", "bob"], sort="-id") == ["other", "spring-launch"]


async def told_of(apps: dict[str, FastAPI], workspace: Workspace, kind: str) -> list[dict[str, Any]]:
    """What the outbox holds of one type, in order."""
    async with apps["goals"].state.database.tenant(workspace.id) as session:
        rows = await session.scalars(
            text("SELECT data FROM outbox WHERE type = :type ORDER BY occurred_at, id"), {"type": kind}
        )
        return list(rows)
