"""What a goal promises to draw from its metric's history, and what lists and courses show of goals."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from chassis.reading import Prepared, Reader
from chassis.testing import Clock
from services.goals.evaluation.actions import evaluate_due_goals
from services.goals.evaluation.thinning import thin
from tests.goals.conftest import Clicks
from tests.goals.test_goal import make_goal
from tests.parts import Connect, Deliver, Workspace

WEEK = {"start": "2026-06-15", "due": "2026-06-22"}
REACH = {"kind": "reach", "baseline": None, "window": WEEK}


async def weeks(clicks: Clicks, deliver: Deliver, *counts: int) -> None:
    """So many clicks a day in each of the weeks before the goal's, the last one given last."""
    first = date(2026, 6, 15) - timedelta(weeks=len(counts))
    for week, count in enumerate(counts):
        for day in range(7):
            if count:
                await clicks(count, (first + timedelta(weeks=week, days=day)).isoformat())
    await deliver()


async def letter(goals: httpx.AsyncClient, goal: dict[str, Any], name: str) -> dict[str, Any]:
    found = (await goals.get(f"/v1/goals/{goal['id']}/smart")).json()["letters"]
    (wanted,) = [each for each in found if each["letter"] == name]
    assert isinstance(wanted, dict)
    return wanted


async def test_achievable_is_a_percentile_of_the_metrics_own_history(
    goals: httpx.AsyncClient, clicks: Clicks, deliver: Deliver
) -> None:
    """By hand: weeks of 7, 14, 21, 14, 21, 28, 14, 21 clicks changed by +100, +50, -33, +50, +33, -50, +50 %."""
    await make_goal(goals)  # its campaign is what the clicks are counted for
    await deliver()
    await weeks(clicks, deliver, 1, 2, 3, 2, 3, 4, 2, 3)
    rise = {**REACH, "kind": "increase", "baseline": {"from": "2026-06-08", "to": "2026-06-15"}}
    goal = await make_goal(goals, **rise, target={"change_percent": "40"})
    achievable = await letter(goals, goal, "A")
    assert achievable["verdict"] == "pass"
    assert achievable["evidence"] == {
        "change_percent": 40.0, "percentile": 42.86, "windows": 8, "windows_needed": 8, "windows_apart": 1,
        "compared": 7, "reached_by": 4, "lower_quartile": 0.0, "median": 50.0, "upper_quartile": 50.0,
    }  # fmt: skip
    twice = await make_goal(goals, **rise, target={"change_percent": "101"})
    refused = await goals.post(f"/v1/goals/{twice['id']}/activate")
    assert [each["field"] for each in refused.json()["errors"]] == ["smart.A"]
    await goals.post(f"/v1/goals/{twice['id']}/override", json={"letter": "A", "reason": "We doubled the list."})
    assert (await goals.post(f"/v1/goals/{twice['id']}/activate")).json()["state"] == "active"


async def test_with_seven_windows_achievable_warns_and_says_so(
    goals: httpx.AsyncClient, clicks: Clicks, deliver: Deliver
) -> None:
    await make_goal(goals)
    await deliver()
    await weeks(clicks, deliver, 1, 2, 3, 2, 3, 4, 2)
    found = await letter(goals, await make_goal(goals, **REACH, target={"value": 30}), "A")
    assert (found["verdict"], found["evidence"]["windows"], found["evidence"]["percentile"]) == ("warn", 7, None)
    assert "7 are known" in found["reason"]


async def test_a_season_shapes_the_path_once_eight_weeks_show_it(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient, clicks: Clicks, deliver: Deliver, clock: Clock
) -> None:
    """Mondays bring twice what other days do, so that a week's Monday is 2 of 8 parts: by hand, a target of 80 wants 20
    by its end, where a straight path wants 80 / 7."""
    await make_goal(goals)
    await deliver()
    goal = await make_goal(goals, **REACH, target={"value": 80})
    await evaluate_due_goals(apps["goals"])
    before = (await goals.get(f"/v1/goals/{goal['id']}/progress")).json()["paths"]
    assert (before["used"], before["seasonal"]) == ("straight", None)
    assert "8 whole weeks" in before["reason"]
    await weeks(clicks, deliver, 1, 1, 1, 1, 1, 1, 1, 1)
    for week in range(1, 9):
        await clicks(1, (date(2026, 6, 15) - timedelta(weeks=week)).isoformat())
    await clicks(20, "2026-06-15")
    clock.forward(hours=10)  # midnight in Berlin
    await deliver()
    progress = (await goals.post(f"/v1/goals/{goal['id']}/evaluate")).json()
    assert progress["paths"]["used"] == "seasonal"
    assert progress["paths"]["seasonal"] == pytest.approx(20)
    assert progress["paths"]["straight"] == pytest.approx(80 / 7)
    assert (progress["expected"], progress["health"]) == (progress["paths"]["seasonal"], "on_track")
    interval = progress["forecast_interval"]
    assert progress["forecast"] == pytest.approx(80)
    assert interval["low"] <= progress["forecast"] <= interval["high"]
    assert (interval["level"], interval["days"]) == (0.8, 57)


async def test_money_that_is_used_up_is_not_realistic(
    goals: httpx.AsyncClient, connect: Connect, workspace: Workspace
) -> None:
    goal = await make_goal(goals, **REACH, target={"value": 40})
    assert "No money is set aside" in (await letter(goals, goal, "R"))["reason"]
    budget, (campaign_id,) = connect("budget", workspace), goal["campaign_ids"]
    line = {
        "name": "E-mail", "department": "demand", "campaign_id": campaign_id, "currency": "EUR", "policy": "stop",
        "period": {"start": "2026-01-01", "end": "2027-01-01"},
    }  # fmt: skip
    line_id = (await budget.post("/v1/lines", json=line)).json()["id"]
    allotted = await budget.post(f"/v1/lines/{line_id}/allot", json={"amount": {"amount": "9.50", "currency": "EUR"}})
    assert allotted.status_code == 200, allotted.text
    evaluated = await goals.post(f"/v1/goals/{goal['id']}/evaluate")
    assert evaluated.status_code == 200, evaluated.text
    realistic = await letter(goals, goal, "R")
    assert (realistic["verdict"], realistic["evidence"]["available"]) == ("warn", "9.50")  # the team isn't known yet


async def test_the_past_is_asked_for_once_and_not_every_minute(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient, workspace: Workspace, deliver: Deliver, clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    await make_goal(goals, **REACH, target={"value": 40})
    await deliver()
    upstream, asked = apps["goals"].state.upstream, []
    ask = upstream.series

    async def counting(workspace_id: Any, questions: Any, *rest: Any) -> Any:
        # Other tests' workspaces are looked at as well.
        if workspace_id == workspace.id:
            asked.append(len(questions))
        return await ask(workspace_id, questions, *rest)

    monkeypatch.setattr(upstream, "series", counting)
    for _ in range(5):
        await evaluate_due_goals(apps["goals"])
        clock.forward(minutes=1)
    assert sum(each > 1 for each in asked) == 1
    clock.forward(hours=1)
    await evaluate_due_goals(apps["goals"])
    assert sum(each > 1 for each in asked) == 2


async def test_a_goals_course_is_read_page_by_page(
    goals: httpx.AsyncClient, clicks: Clicks, deliver: Deliver, clock: Clock
) -> None:
    goal = await make_goal(goals, **REACH, target={"value": 40})
    await deliver()
    for count in (3, 4, 5):
        await clicks(count, "2026-06-15")
        await deliver()
        await goals.post(f"/v1/goals/{goal['id']}/evaluate")
        clock.forward(hours=1)
        await goals.post(f"/v1/goals/{goal['id']}/evaluate")  # finds nothing new
    query = {"goal_id": goal["id"], "sort": "evaluated_at", "limit": "2"}
    first = (await goals.get("/v1/evaluations", params=query)).json()
    second = (await goals.get("/v1/evaluations", params={**query, "cursor": first["next_cursor"]})).json()
    assert [each["value"] for each in first["items"] + second["items"]] == [3, 7, 12]
    assert second["next_cursor"] is None
    assert first["items"][0]["expected"] == pytest.approx(40 * 14 / 168)  # Monday 14:00 in Berlin
    some = {**query, "found_from": "2026-06-15T12:30:00Z", "found_to": "2026-06-15T13:30:00Z"}
    assert [each["value"] for each in (await goals.get("/v1/evaluations", params=some)).json()["items"]] == [7]
    groups = (
        await goals.get("/v1/evaluations", params={"goal_id": goal["id"], "limit_per": "1", "sort": "-id"})
    ).json()
    assert [each["value"] for each in groups["groups"][0]["items"]] == [12]


async def test_of_days_before_the_last_two_a_goal_keeps_how_each_ended(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient, clicks: Clicks, deliver: Deliver, clock: Clock
) -> None:
    """Each day begins at 22:00 UTC, as Berlin's do in June, and has findings at 4 and at 12 hours, but the last."""
    goal = await make_goal(goals, **REACH, target={"value": 40})
    other = await make_goal(goals, **REACH, target={"value": 50})
    await deliver()
    clock.forward(hours=10)
    ends = []
    for _ in range(4):
        for hours in (4, 8):
            clock.forward(hours=hours)
            await clicks(1, "2026-06-15")
            await deliver()
            for each in (goal, other):
                await goals.post(f"/v1/goals/{each['id']}/evaluate")
        clock.forward(hours=12)
        ends.append(clock.now - timedelta(minutes=1))

    async def course(of: dict[str, Any]) -> list[float]:
        found = await goals.get("/v1/evaluations", params={"goal_id": of["id"], "sort": "evaluated_at"})
        return [each["value"] for each in found.json()["items"]]

    async def seen() -> list[Any]:
        path = f"/v1/goals/{goal['id']}/progress"
        return [(await goals.get(path, params={"as_of": end.isoformat()})).json() for end in ends]

    before = await seen()
    assert await course(goal) == [1, 2, 3, 4, 5, 6, 7, 8]
    for _ in range(2):
        await thin(apps["goals"])
        assert await course(goal) == await course(other) == [2, 4, 5, 6, 7, 8]
    assert await seen() == before
    clock.forward(days=2)
    await thin(apps["goals"])
    assert await course(goal) == [2, 4, 6, 8]
    assert await seen() == before


FILTERS = [
    ("state=draft", ["One", "Two"]), ("state=achieved", []), ("kind=reach", ["One"]), ("owner=ann", ["Two"]),
    ("metric=email.total_clicks", ["One"]), ("metric=email.ctr&metric=email.total_clicks", ["One", "Two"]),
    ("due_from=2026-06-22", ["One", "Two"]), ("due_from=2026-06-23", ["Two"]), ("due_to=2026-06-22", []),
    ("due_to=2026-06-23", ["One"]), ("health=off_track", ["One"]), ("health=on_track", []),
    ("needs_review=false", ["One", "Two"]), ("needs_review=true", []),
]  # fmt: skip


async def test_goals_are_found_by_what_they_are(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient, deliver: Deliver
) -> None:
    await make_goal(goals, **REACH, title="One", target={"value": 40})
    other = {"baseline": None, "kind": "keep_above", "window": {"start": "2026-07-01", "due": "2026-08-01"}}
    await make_goal(goals, **other, title="Two", metric={"key": "email.ctr"}, target={"value": 5}, owner="ann")
    await deliver()
    await evaluate_due_goals(apps["goals"])
    for query, titles in FILTERS:
        found = (await goals.get(f"/v1/goals?{query}&sort=title")).json()
        assert [each["title"] for each in found["items"]] == titles, query


async def test_every_filter_of_goals_has_an_index(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked of the planner with sequential scans made dear, as a test's tables are too small for it to care."""
    seen: list[tuple[str, list[Any]]] = []
    database = apps["goals"].state.database
    fetch = Reader._fetch

    async def listen(self: Reader, prepared: Prepared, parameters: Mapping[str, Any]) -> Any:
        if "FROM goals.goal " in prepared.sql:
            seen.append((prepared.sql, prepared.arguments(parameters)))
        return await fetch(self, prepared, parameters)

    monkeypatch.setattr(Reader, "_fetch", listen)
    wanted = {
        "state=active": "state", "kind=reach": "kind", "owner=x": "owner", "metric=x": "metric_key",
        "health=at_risk": "health", "due_from=2026-06-23&sort=window_due": "window_due", "sort=title": "title",
        "sort=created_at": "created_at",
    }  # fmt: skip
    for query, column in wanted.items():
        seen.clear()
        await goals.get(f"/v1/goals?{query}")
        ((statement, parameters),) = seen
        async with database.engine.connect() as pooled:
            connection: Any = (await pooled.get_raw_connection()).driver_connection
            async with connection.transaction():
                await connection.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
                plan = [line for (line,) in await connection.fetch(f"EXPLAIN {statement}", *parameters)]
        assert any("Index" in line and column in line for line in plan), (query, plan)
