"""What a goal promises once it is active: an outcome that the system decides once, revisions and reviews that stay."""

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from chassis.testing import Clock, TestStack
from services.goals.evaluation.actions import evaluate_due_goals
from services.metrics.metric.catalogue import CATALOGUE
from tests.goals.conftest import Clicks, told_of
from tests.goals.test_goal import make_goal
from tests.parts import Connect, Deliver, Workspace

# From the clock's start, on the 15th of June 2026 at noon UTC: two weeks around it.
FORTNIGHT = {"start": "2026-06-08", "due": "2026-06-22"}
REACH = {"kind": "reach", "baseline": None, "window": FORTNIGHT}


async def activated(goals: httpx.AsyncClient, deliver: Deliver, **change: Any) -> dict[str, Any]:
    """An active goal, by default to reach 40 clicks in two weeks."""
    goal = await make_goal(goals, **{**REACH, "target": {"value": 40}, **change})
    await deliver()
    answer = await goals.post(f"/v1/goals/{goal['id']}/activate")
    assert answer.status_code == 200, answer.text
    active: dict[str, Any] = answer.json()
    return active


async def read(goals: httpx.AsyncClient, goal: dict[str, Any], path: str = "") -> Any:
    answer = await goals.get(f"/v1/goals/{goal['id']}{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_sum_that_is_reached_is_achieved_at_once(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient, clicks: Clicks, deliver: Deliver, clock: Clock, stack: TestStack
) -> None:
    goal = await activated(goals, deliver)
    clock.forward(seconds=10)
    await clicks(39, "2026-06-14")
    await deliver()
    await evaluate_due_goals(apps["goals"])
    assert (await read(goals, goal))["state"] == "active"
    clock.forward(seconds=10)
    await clicks(1, "2026-06-14")
    await deliver()
    await evaluate_due_goals(apps["goals"])
    closed = await read(goals, goal)
    assert (closed["state"], closed["outcome_value"], closed["closed_by"]) == ("achieved", 40, "system:goals")
    assert closed["needs_review"]
    progress = await read(goals, goal, "/progress")
    assert (progress["outcome"]["state"], progress["outcome"]["moved_since"]) == ("achieved", 0)
    assert (progress["health"], progress["stale"]) == (None, False)
    before = await goals.get(f"/v1/goals/{goal['id']}/progress", params={"as_of": "2026-06-15T12:00:11Z"})
    assert before.json()["outcome"] is None
    assert await told_of(stack, goal["id"], "goals.goal.achieved") == [{"value": 40.0, "target_value": 40.0}]


async def test_a_goal_that_is_not_reached_is_missed_a_day_after_its_window(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient, clicks: Clicks, deliver: Deliver, clock: Clock, stack: TestStack
) -> None:
    goal = await activated(goals, deliver)
    assert (await read(goals, goal, "/progress"))[
        "decides_at"
    ] == "2026-06-22T22:00:00Z"  # midnight in Berlin, and a day
    await clicks(20, "2026-06-14")
    await deliver()
    clock.forward(days=7, hours=9, minutes=59)
    await clicks(19, "2026-06-21")  # late, and in time
    await deliver()
    await evaluate_due_goals(apps["goals"])
    assert (await read(goals, goal))["state"] == "active"
    clock.forward(minutes=1)
    await evaluate_due_goals(apps["goals"])
    closed = await read(goals, goal)
    assert (closed["state"], closed["outcome_value"]) == ("missed", 39)
    assert await told_of(stack, goal["id"], "goals.goal.missed") == [{"value": 39.0, "target_value": 40.0}]


async def test_what_comes_after_the_outcome_moves_numbers_and_not_the_outcome(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient, clicks: Clicks, deliver: Deliver, clock: Clock
) -> None:
    goal = await activated(goals, deliver)
    clock.forward(days=10)
    await evaluate_due_goals(apps["goals"])
    assert (await read(goals, goal))["state"] == "missed"
    clock.forward(days=1)
    await clicks(45, "2026-06-20")
    await deliver()
    await evaluate_due_goals(apps["goals"])
    progress = await read(goals, goal, "/progress")
    assert (progress["value"], progress["outcome"]["state"], progress["outcome"]["value"]) == (45, "missed", 0)
    assert progress["outcome"]["moved_since"] == 45
    clock.forward(days=30)
    await evaluate_due_goals(apps["goals"])
    clock.forward(days=1)
    await clicks(1, "2026-06-20")
    await deliver()
    await evaluate_due_goals(apps["goals"])
    assert (await read(goals, goal, "/progress"))["value"] == 45  # followed for 30 days


async def test_many_replicas_decide_an_outcome_once(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient, deliver: Deliver, clock: Clock, stack: TestStack,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    goal = await activated(goals, deliver)
    clock.forward(days=10)
    await asyncio.gather(*(evaluate_due_goals(apps["goals"]) for _ in range(4)))
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == [], "nor stumbles over another"
    assert len(await told_of(stack, goal["id"], "goals.goal.missed")) == 1
    assert (await read(goals, goal))["version"] == 3  # drafted, activated, missed


async def test_an_outcome_waits_for_metrics(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient, deliver: Deliver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = await activated(goals, deliver)
    upstream = apps["goals"].state.upstream
    away = upstream._settings.model_copy(update={"urls": {**upstream._settings.urls, "metrics": "http://127.0.0.1:9"}})
    clock.forward(days=10)
    with monkeypatch.context() as patched:
        patched.setattr(upstream, "_settings", away)
        await evaluate_due_goals(apps["goals"])
        assert (await read(goals, goal))["state"] == "active"
    clock.forward(seconds=5)
    await evaluate_due_goals(apps["goals"])
    assert (await read(goals, goal))["state"] == "missed"


async def test_a_goal_is_cancelled_with_a_reason(
    goals: httpx.AsyncClient, connect: Connect, workspace: Workspace, deliver: Deliver, stack: TestStack
) -> None:
    goal, draft = await activated(goals, deliver), await make_goal(goals)
    specialist = connect("goals", workspace, "specialist")
    reason = {"reason": "The product is withdrawn."}
    refused = await specialist.post(f"/v1/goals/{goal['id']}/cancel", json=reason)
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    assert (await goals.post(f"/v1/goals/{goal['id']}/cancel", json={"reason": " "})).status_code == 422
    cancelled = (await goals.post(f"/v1/goals/{goal['id']}/cancel", json=reason)).json()
    assert (cancelled["state"], cancelled["closing_reason"]) == ("cancelled", reason["reason"])
    assert cancelled["needs_review"]
    assert (await specialist.post(f"/v1/goals/{draft['id']}/cancel", json=reason)).json()["needs_review"] is False
    again = await goals.post(f"/v1/goals/{goal['id']}/cancel", json=reason)
    assert (again.status_code, again.json()["code"]) == (409, "closed")
    assert await told_of(stack, goal["id"], "goals.goal.cancelled") == [reason]


async def test_what_is_decided_is_neither_cancelled_nor_revised_nor_overridden(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient, deliver: Deliver, clock: Clock
) -> None:
    goal = await activated(goals, deliver)
    clock.forward(days=10)
    await evaluate_due_goals(apps["goals"])
    missed = await read(goals, goal)
    for verb, body, code in (
        ("cancel", {"reason": "It was missed."}, "closed"),
        ("revise", {"reason": "It was missed.", "target": {"value": 1}}, "not_active"),
        ("override", {"reason": "It was missed.", "letter": "A"}, "not_a_draft"),
    ):
        refused = await goals.post(f"/v1/goals/{goal['id']}/{verb}", json=body)
        assert (refused.status_code, refused.json()["code"]) == (409, code)
    assert (await read(goals, goal)) == missed


async def test_no_step_is_taken_on_a_goal_that_was_seen_otherwise(goals: httpx.AsyncClient, deliver: Deliver) -> None:
    goal = await make_goal(goals, **REACH, target={"value": 40})
    await deliver()
    for verb, body in (
        ("activate", None), ("revise", {"reason": "x", "target": {"value": 20}}), ("cancel", {"reason": "x"}),
    ):  # fmt: skip
        seen = await read(goals, goal)
        stale = await goals.post(f"/v1/goals/{goal['id']}/{verb}", json=body, headers={"If-Match": "9"})
        assert stale.status_code == 412, verb
        assert await read(goals, goal) == seen
        version = {"If-Match": str(seen["version"])}
        assert (await goals.post(f"/v1/goals/{goal['id']}/{verb}", json=body, headers=version)).status_code == 200, verb


async def test_a_manager_overrides_a_failing_letter_and_it_shows(
    goals: httpx.AsyncClient, connect: Connect, workspace: Workspace
) -> None:
    goal = await make_goal(goals, **REACH, target={"value": 40}, objective_id=None)
    path = f"/v1/goals/{goal['id']}"
    assert (await goals.post(f"{path}/activate")).json()["errors"][0]["field"] == "smart.R"
    body = {"letter": "R", "reason": "The objective is being written."}
    specialist, manager = connect("goals", workspace, "specialist"), connect("goals", workspace, "manager")
    assert (await specialist.post(f"{path}/override", json=body)).status_code == 403
    for letter in "SMT":
        assert (await manager.post(f"{path}/override", json={**body, "letter": letter})).status_code == 422
    assert (await manager.post(f"{path}/override", json=body)).status_code == 201
    smart = (await goals.get(f"{path}/smart")).json()
    realistic = next(each for each in smart["letters"] if each["letter"] == "R")
    assert (smart["passed"], realistic["verdict"]) == (True, "fail")
    assert realistic["override"] == {
        "reason": body["reason"], "overridden_by": "client:test", "overridden_at": "2026-06-15T12:00:00Z",
    }  # fmt: skip
    assert (await goals.post(f"{path}/activate")).json()["state"] == "active"
    assert (await manager.post(f"{path}/override", json=body)).json()["code"] == "not_a_draft"
    (kept,) = (await goals.get("/v1/overrides", params={"goal_id": goal["id"]})).json()["items"]
    assert (kept["letter"], kept["reason"]) == ("R", body["reason"])


async def test_an_override_lapses_when_the_draft_asks_for_something_else(
    goals: httpx.AsyncClient, clock: Clock
) -> None:
    goal = await make_goal(goals, **REACH, target={"value": 40}, objective_id=None)
    path = f"/v1/goals/{goal['id']}"
    await goals.post(f"{path}/override", json={"letter": "R", "reason": "It is being written."})
    clock.forward(seconds=1)
    patch = await goals.patch(path, json={"title": "Forty"}, headers={"If-Match": "1"})
    assert (patch.status_code, patch.json()["version"]) == (200, 2)
    assert (await goals.get(f"{path}/smart")).json()["passed"]
    await goals.patch(path, json={"target": {"value": 400}}, headers={"If-Match": "2"})
    assert (await goals.post(f"{path}/activate")).json()["code"] == "not_smart"


async def test_a_draft_is_edited_and_an_active_goal_revised(
    goals: httpx.AsyncClient, deliver: Deliver, clock: Clock
) -> None:
    goal = await make_goal(goals, **REACH, target={"value": 40})
    path = f"/v1/goals/{goal['id']}"
    change = {"kind": "keep_above", "campaign_ids": [], "window": {"start": "2026-06-08", "due": "2026-07-01"}}
    patched = await goals.patch(path, json=change, headers={"If-Match": "1"})
    assert patched.status_code == 200, patched.text
    body = patched.json()
    assert (body["kind"], body["campaign_ids"]) == ("keep_above", [])
    assert body["window"] == {"start": "2026-06-08", "due": "2026-07-01"}
    assert (await goals.patch(path, json={"title": "x"})).status_code == 428
    assert (await goals.patch(path, json={"title": "x"}, headers={"If-Match": "1"})).status_code == 412
    wrong = await goals.patch(path, json={"target": {"change_percent": "5", "value": None}}, headers={"If-Match": "2"})
    assert wrong.status_code == 422
    await goals.post(f"{path}/activate")
    refused = await goals.patch(path, json={"target": {"value": 1}}, headers={"If-Match": "3"})
    assert (refused.status_code, refused.json()["code"]) == (409, "not_a_draft")
    assert (await goals.patch(path, json={"title": "Kept"}, headers={"If-Match": "3"})).json()["title"] == "Kept"


async def test_a_revision_keeps_what_was_asked_for_before(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient, connect: Connect, workspace: Workspace, clicks: Clicks,
    deliver: Deliver, clock: Clock,
) -> None:  # fmt: skip
    goal = await activated(goals, deliver)
    path = f"/v1/goals/{goal['id']}"
    specialist = connect("goals", workspace, "specialist")
    body = {
        "reason": "The market halved.",
        "target": {"value": 20},
        "window": {"start": "2026-06-08", "due": "2026-07-06"},
    }
    assert (await specialist.post(f"{path}/revise", json=body)).status_code == 403
    assert (await goals.post(f"{path}/revise", json={"target": {"value": 20}})).status_code == 422  # no reason
    clock.forward(minutes=5)
    revised = await goals.post(f"{path}/revise", json=body)
    assert revised.status_code == 200, revised.text
    assert (revised.json()["target_value"], revised.json()["window"]) == (20, body["window"])
    (kept,) = (await goals.get("/v1/revisions", params={"goal_id": goal["id"]})).json()["items"]
    assert (kept["reason"], kept["revised_by"]) == (body["reason"], "client:test")
    assert (kept["before"]["target_value"], kept["before"]["window"]) == (40, FORTNIGHT)
    assert (kept["after"]["target_value"], kept["after"]["window"]) == (20, body["window"])
    progress = await read(goals, goal, "/progress")
    assert (progress["target"], progress["stale"]) == (40, True), "not looked at by its new target yet"
    await evaluate_due_goals(apps["goals"])
    progress = await read(goals, goal, "/progress")
    assert (progress["target"], progress["stale"]) == (20, False)
    before = (await goals.get(f"{path}/progress", params={"as_of": "2026-06-15T12:01:00Z"})).json()
    assert (before["target"], before["decides_at"]) == (40, "2026-06-22T22:00:00Z")
    for change, code in (
        ({"window": {"start": "2026-06-09", "due": "2026-07-06"}}, "begun"),
        ({"window": {"start": "2026-06-08", "due": "2026-06-15"}}, "past"),
        ({"target": {"change_percent": "5"}}, "invalid"),
        ({"target": {"value": 0}}, "no_way"),
    ):
        refused = await goals.post(f"{path}/revise", json={"reason": "x", **change})
        assert (refused.status_code, [each["code"] for each in refused.json()["errors"]]) == (422, [code])
    assert (await goals.post(f"{path}/revise", json={"reason": "x"})).json()["code"] == "nothing_changes"


async def test_no_goal_is_saved_from_its_outcome(goals: httpx.AsyncClient, deliver: Deliver, clock: Clock) -> None:
    goal = await activated(goals, deliver)
    clock.forward(days=7)
    late = await goals.post(f"/v1/goals/{goal['id']}/revise", json={"reason": "x", "target": {"value": 1}})
    assert (late.status_code, late.json()["code"]) == (409, "window_over")


async def test_a_new_version_of_a_metric_is_not_held_against_an_old_target(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient, clicks: Clicks, deliver: Deliver, clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    goal = await activated(goals, deliver)
    metric = CATALOGUE["email.total_clicks"]
    monkeypatch.setitem(CATALOGUE, metric.key, replace(metric, version=2))
    await clicks(50, "2026-06-14")
    await deliver()
    clock.forward(days=10)
    await evaluate_due_goals(apps["goals"])
    measurable = (await read(goals, goal, "/smart"))["letters"][1]
    assert (measurable["verdict"], "version 2" in measurable["reason"]) == ("fail", True)
    assert (await read(goals, goal))["state"] == "active"  # neither achieved nor missed
    assert (await read(goals, goal, "/progress"))["value"] is None
    revised = await goals.post(f"/v1/goals/{goal['id']}/revise", json={"reason": "Clicks are counted anew."})
    assert (revised.status_code, revised.json()["metric"]["version"]) == (200, 2), revised.text
    await evaluate_due_goals(apps["goals"])
    assert (await read(goals, goal))["state"] == "achieved"


async def test_a_closed_goal_asks_for_a_review_and_keeps_each(
    goals: httpx.AsyncClient, deliver: Deliver, stack: TestStack
) -> None:
    goal = await activated(goals, deliver)
    path = f"/v1/goals/{goal['id']}"
    body = {"learned": "Tuesdays work.", "changes": "Send on Tuesdays."}
    assert (await goals.post(f"{path}/review", json=body)).json()["code"] == "open"
    await goals.post(f"{path}/cancel", json={"reason": "Enough."})
    waiting = {"needs_review": "true"}
    assert [each["id"] for each in (await goals.get("/v1/goals", params=waiting)).json()["items"]] == [goal["id"]]
    review = (await goals.post(f"{path}/review", json=body)).json()
    assert (review["author"], review["learned"]) == ("client:test", "Tuesdays work.")
    await goals.post(f"{path}/review", json={"learned": "Wednesdays do."})
    kept = (await goals.get("/v1/reviews", params={"goal_id": goal["id"]})).json()["items"]
    assert [each["learned"] for each in kept] == ["Tuesdays work.", "Wednesdays do."]
    assert (await goals.get("/v1/goals", params=waiting)).json()["items"] == []
    assert len(await told_of(stack, goal["id"], "goals.goal.reviewed")) == 2
