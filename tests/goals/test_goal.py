"""What a goal promises: SMART before it is active, a pinned target, and an honest word on where it stands."""

import asyncio
from datetime import date
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from chassis.errors import Unavailable
from chassis.fields import new_id
from chassis.serving import HEAD_BYTES
from chassis.testing import Clock
from services.goals.evaluation.actions import evaluate_due_goals
from services.goals.upstream import Question, _calls
from tests.goals.conftest import Clicks
from tests.parts import Connect, Deliver, Workspace

CAMPAIGN = {
    "name": "Spring", "slug": "spring", "channels": ["email"], "flight": {"start": "2026-01-01", "end": "2027-01-01"},
}  # fmt: skip


async def make_goal(goals: httpx.AsyncClient, **change: Any) -> dict[str, Any]:
    listed = (await goals.get("/v1/campaigns?slug=spring")).json()["items"]
    campaign = listed[0] if listed else (await goals.post("/v1/campaigns", json=CAMPAIGN)).json()
    objective = (await goals.post("/v1/objectives", json={"name": "Grow", "stakeholder": "ceo"})).json()
    body = {
        "title": "25 % more clicks", "campaign_ids": [campaign["id"]], "metric": {"key": "email.total_clicks"},
        "kind": "increase", "baseline": {"from": "2025-01-01", "to": "2026-01-01"}, "target": {"change_percent": "25"},
        "window": {"start": "2026-01-01", "due": "2027-01-01"}, "objective_id": objective["id"],
    }  # fmt: skip
    answer = await goals.post("/v1/goals", json={**body, **change})
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


async def test_a_goal_is_answered_as_it_was_asked_for(goals: httpx.AsyncClient) -> None:
    goal = await make_goal(goals)
    assert (goal["state"], goal["target_value"]) == ("draft", None)
    assert goal["baseline"] == {"from": "2025-01-01", "to": "2026-01-01"}
    assert goal["target"] == {"change_percent": "25", "value": None}
    assert (await goals.get(f"/v1/goals/{goal['id']}")).json() == goal
    campaign = (await goals.get(f"/v1/campaigns/{goal['campaign_ids'][0]}")).json()
    assert campaign["goal_ids"] == [goal["id"]]


async def test_activation_pins_the_target_as_a_number(
    goals: httpx.AsyncClient, clicks: Clicks, deliver: Deliver
) -> None:
    goal = await make_goal(goals)
    await clicks(8, "2025-06-01")
    await deliver()
    active = (await goals.post(f"/v1/goals/{goal['id']}/activate")).json()
    assert (active["state"], active["baseline_value"], active["target_value"]) == ("active", 8, 10)
    assert active["metric"] == {"key": "email.total_clicks", "version": 1}
    await clicks(8, "2025-07-01")  # what arrives late changes the baseline no more
    again = (await goals.post(f"/v1/goals/{goal['id']}/evaluate")).json()
    assert (again["baseline"], again["target"]) == (8, 10)
    assert (await goals.post(f"/v1/goals/{goal['id']}/activate")).json()["code"] == "not_a_draft"


async def test_a_goal_that_is_not_smart_is_not_activated(goals: httpx.AsyncClient) -> None:
    goal = await make_goal(goals, objective_id=None)
    refused = await goals.post(f"/v1/goals/{goal['id']}/activate")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_smart")
    assert [each["field"] for each in refused.json()["errors"]] == ["smart.M", "smart.R"]
    assert (await goals.get(f"/v1/goals/{goal['id']}")).json()["state"] == "draft"


async def test_a_metric_that_does_not_exist_fails_m(goals: httpx.AsyncClient) -> None:
    goal = await make_goal(goals, metric={"key": "email.wishes"})
    smart = (await goals.get(f"/v1/goals/{goal['id']}/smart")).json()
    assert {each["letter"]: each["verdict"] for each in smart["letters"]}["M"] == "fail"
    assert not smart["passed"]


async def test_an_event_of_metrics_brings_the_evaluation_forward(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient, clicks: Clicks, deliver: Deliver, clock: Clock
) -> None:
    goal = await make_goal(goals, target={"value": 40}, kind="reach", baseline=None)
    path = f"/v1/goals/{goal['id']}/progress"
    await deliver()
    await evaluate_due_goals(apps["goals"])
    assert (await goals.get(path)).json()["value"] == 0
    clock.forward(seconds=10)
    await clicks(20, "2026-05-01")
    await evaluate_due_goals(apps["goals"])
    assert (await goals.get(path)).json()["value"] == 0  # not heard yet
    await deliver()
    await evaluate_due_goals(apps["goals"])
    progress = (await goals.get(path)).json()
    assert (progress["value"], progress["share"], progress["health"]) == (20, 0.5, "on_track")


async def test_news_that_comes_in_the_middle_of_an_evaluation_is_not_lost(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient, clicks: Clicks, deliver: Deliver, clock: Clock,
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    goal = await make_goal(goals, target={"value": 40}, kind="reach", baseline=None)
    await deliver()
    upstream = apps["goals"].state.upstream
    ask = upstream.series

    async def ask_and_be_overtaken(workspace_id: UUID, *args: Any) -> Any:
        answer = await ask(workspace_id, *args)
        if workspace_id != workspace.id:  # other tests' goals may be due as well
            return answer
        monkeypatch.undo()
        clock.forward(seconds=1)
        await clicks(20, "2026-05-01")
        await deliver()
        return answer

    monkeypatch.setattr(upstream, "series", ask_and_be_overtaken)
    await evaluate_due_goals(apps["goals"])
    assert (await goals.get(f"/v1/goals/{goal['id']}/progress")).json()["value"] == 0
    await evaluate_due_goals(apps["goals"])
    assert (await goals.get(f"/v1/goals/{goal['id']}/progress")).json()["value"] == 20


async def test_a_goal_is_looked_at_every_minute(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient, clock: Clock
) -> None:
    goal = await make_goal(goals)
    await evaluate_due_goals(apps["goals"])
    first = (await goals.get(f"/v1/goals/{goal['id']}/progress")).json()["evaluated_at"]
    clock.forward(seconds=59)
    await evaluate_due_goals(apps["goals"])
    assert (await goals.get(f"/v1/goals/{goal['id']}/progress")).json()["evaluated_at"] == first
    clock.forward(seconds=1)
    await evaluate_due_goals(apps["goals"])
    assert (await goals.get(f"/v1/goals/{goal['id']}/progress")).json()["evaluated_at"] > first


async def test_progress_can_be_asked_for_as_it_was_known(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient, clicks: Clicks, deliver: Deliver, clock: Clock
) -> None:
    goal = await make_goal(goals, target={"value": 40}, kind="reach", baseline=None)
    await deliver()
    path, moments = f"/v1/goals/{goal['id']}/progress", []
    for count in (3, 4):
        clock.forward(hours=1)
        await clicks(count, "2026-05-01")
        await deliver()
        await goals.post(f"/v1/goals/{goal['id']}/evaluate")
        moments.append(clock.now.isoformat())
        clock.forward(minutes=1)
    seen = [(await goals.get(path, params={"as_of": moment})).json()["value"] for moment in moments]
    assert seen == [3, 7]
    before = (await goals.get(path, params={"as_of": "2026-01-01T00:00:00Z"})).json()
    assert (before["value"], before["stale"], before["evaluated_at"]) == (None, True, None)


async def test_progress_is_stale_when_metrics_is_away_and_says_how_old_it_is(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient, clicks: Clicks, deliver: Deliver, clock: Clock
) -> None:
    goal = await make_goal(goals)
    await clicks(8, "2025-06-01")
    await deliver()
    path = f"/v1/goals/{goal['id']}"
    await goals.post(f"{path}/activate")
    assert not (await goals.get(f"{path}/progress")).json()["stale"]
    upstream = apps["goals"].state.upstream
    working, upstream._settings = (
        upstream._settings,
        upstream._settings.model_copy(update={"urls": {**upstream._settings.urls, "metrics": "http://127.0.0.1:9"}}),
    )
    try:
        clock.forward(seconds=300)
        await evaluate_due_goals(apps["goals"])  # doesn't raise, and loses nothing
        progress = (await goals.get(f"{path}/progress")).json()
        assert (progress["stale"], progress["age_seconds"], progress["baseline"]) == (True, 300, 8)
        asked = await goals.post(f"{path}/evaluate")
        assert (asked.status_code, asked.json()["code"]) == (503, "metrics_unavailable")
    finally:
        upstream._settings = working
    clock.forward(seconds=5)
    await evaluate_due_goals(apps["goals"])
    assert not (await goals.get(f"{path}/progress")).json()["stale"]


async def test_goals_that_wait_for_metrics_hold_up_nothing_else(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [await make_goal(goals, title=f"Goal {n}") for n in range(12)]
    released, waiting = asyncio.Event(), asyncio.Event()
    upstream, asked = apps["goals"].state.upstream, 0

    async def silent(*args: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == len(made):
            waiting.set()
        await released.wait()
        raise Unavailable("metrics doesn't answer now")

    monkeypatch.setattr(upstream, "definitions", silent)
    reads = [asyncio.create_task(goals.get(f"/v1/goals/{goal['id']}/smart")) for goal in made]
    await waiting.wait()  # more of them than there are connections
    assert (await goals.get("/v1/campaigns")).status_code == 200
    released.set()
    for answer in await asyncio.gather(*reads):
        verdicts = {each["letter"]: each["verdict"] for each in answer.json()["letters"]}
        assert (verdicts["M"], verdicts["R"], answer.json()["passed"]) == ("fail", "warn", False)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"window": {"start": "2026-01-01", "due": "2300-06-01"}}, "window.due"),
        ({"window": {"start": "0001-01-01", "due": "2026-06-01"}}, "window.start"),
        ({"campaign_ids": ["00000000-0000-7000-8000-000000000000"]}, "campaign_ids.0"),
        ({"objective_id": "00000000-0000-7000-8000-000000000000"}, "objective_id"),
        ({"target": {}}, "target"),
        ({"target": {"change_percent": "25", "value": 3}}, "target"),
        ({"target": {"change_percent": "-5"}}, "target"),
        ({"window": {"start": "2026-01-01", "due": "2026-01-01"}}, "window"),
        ({"baseline": {"from": "2026-01-01", "to": "2025-01-01"}}, "baseline"),
        ({"baseline": None}, "body"),
        ({"kind": "wish"}, "kind"),
        ({"kind": "decrease", "target": {"change_percent": "150"}}, "body"),
        ({"state": "achieved"}, "state"),
        ({"title": "x" * 201}, "title"),
    ],
)
async def test_a_goal_that_makes_no_sense_is_refused_by_name(
    goals: httpx.AsyncClient, change: dict[str, Any], field: str
) -> None:
    body = {
        "title": "T", "metric": {"key": "email.total_clicks"}, "kind": "increase", "target": {"change_percent": "25"},
        "baseline": {"from": "2025-01-01", "to": "2026-01-01"}, "window": {"start": "2026-01-01", "due": "2027-01-01"},
    }  # fmt: skip
    answer = await goals.post("/v1/goals", json={**body, **change})
    assert (answer.status_code, [each["field"] for each in answer.json()["errors"]]) == (422, [field])


async def test_another_workspace_s_campaign_or_objective_cannot_be_named(
    goals: httpx.AsyncClient, connect: Connect, other_workspace: Workspace
) -> None:
    goal = await make_goal(goals)
    theirs = connect("goals", other_workspace)
    body = {
        "title": "T", "metric": {"key": "email.ctr"}, "kind": "reach", "target": {"value": 5},
        "window": {"start": "2026-01-01", "due": "2027-01-01"},
    }  # fmt: skip
    for field, value in (("campaign_ids", goal["campaign_ids"]), ("objective_id", goal["objective_id"])):
        assert (await theirs.post("/v1/goals", json={**body, field: value})).status_code == 422
    for path in ("", "/smart", "/progress"):
        assert (await theirs.get(f"/v1/goals/{goal['id']}{path}")).status_code == 404
    assert (await theirs.post(f"/v1/goals/{goal['id']}/activate")).status_code == 404
    assert (await theirs.get("/v1/progress", params={"goal_id": goal["id"]})).json()["items"] == []


async def test_many_goals_are_read_in_as_many_statements_as_one(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient
) -> None:
    made = [await make_goal(goals, title=f"Goal {n}") for n in range(6)]
    await evaluate_due_goals(apps["goals"])

    async def statements(count: int) -> int:
        from sqlalchemy import event

        seen: list[str] = []
        engine = apps["goals"].state.database.engine.sync_engine
        listen = lambda conn, cursor, statement, *rest: seen.append(statement)  # noqa: E731
        event.listen(engine, "before_cursor_execute", listen)
        for path in ("/v1/progress", "/v1/smart"):
            answer = await goals.get(path, params={"goal_id": [goal["id"] for goal in made[:count]]})
            assert len(answer.json()["items"]) == count
        await goals.get("/v1/goals", params={"campaign_id": made[0]["campaign_ids"], "limit_per": count})
        event.remove(engine, "before_cursor_execute", listen)
        return len(seen)

    assert await statements(1) == await statements(6)


def test_many_questions_over_many_campaigns_go_in_calls_that_are_taken() -> None:
    campaigns = tuple(new_id() for _ in range(200))
    asked = [Question("email.clicks", date(2026, 1, day), date(2026, 2, 1), campaigns) for day in range(1, 31)] * 7
    calls = _calls(asked)
    assert [question for call in calls for question in call] == asked
    assert len(calls) > 1
    assert max(sum(len(question.campaign_ids) for question in call) for call in calls) * 39 < 500_000


async def test_goals_with_long_keys_ask_by_urls_that_are_taken(
    apps: dict[str, FastAPI], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream, asked = apps["goals"].state.upstream, []

    async def ask(*_: Any, params: dict[str, Any]) -> Any:
        asked.append(params)
        return {"items": []}

    monkeypatch.setattr(upstream, "_ask", ask)
    keys = [f"{number}" + "😀" * 198 for number in range(10, 90)]
    await upstream.definitions(workspace.id, keys)
    assert [key for params in asked for key in params["key"]] == keys
    assert max(len(str(httpx.QueryParams(params))) for params in asked) < HEAD_BYTES - 10_000
