"""The demo workspace is one that a team could have worked in for two years, whatever became of its first making."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deploy.until import until
from tests.stack.conftest import ROOT, Running, database_of_its_own, free_ports, started_over

NEVER_SEEN_TODAY = {"approved"}  # depends on the day: nothing may be about to begin


@pytest.fixture(scope="module")
def demo(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A stack whose first start was broken off in the midst of it."""
    home = tmp_path_factory.mktemp("demo") / "home"
    with database_of_its_own(home, postgres) as database:
        break_off(home, database)
        with started_over(home, database | {"MOPS_DEMO": "small"}) as stack:
            yield stack


def break_off(home: Path, database: dict[str, str]) -> None:
    environment = (
        os.environ | {"MOPS_HOME": str(home), "MOPS_PORT": str(free_ports(5)), "MOPS_DEMO": "small"} | database
    )
    with (home.parent / "broken.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.local"],
            cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    until(lambda: Path(log.name).read_bytes().count(b"demo workspace: 2") == 2, "the demo's second year", 120)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def every(client: httpx.Client, path: str) -> list[dict[str, Any]]:
    found, cursor = [], None
    while True:
        page = (
            client.get(path, params={"limit": 200} | ({"cursor": cursor} if cursor else {})).raise_for_status().json()
        )
        found += page["items"]
        if (cursor := page["next_cursor"]) is None:
            return found


def test_its_campaigns_are_in_every_state(demo: Running) -> None:
    campaigns = every(demo.client("goals", "demo-stakeholder"), "/v1/campaigns")
    assert len({each["slug"] for each in campaigns}) == len(campaigns) > 40
    states = Counter(each["state"] for each in campaigns)
    assert set(states) | NEVER_SEEN_TODAY >= {
        "idea", "planned", "approved", "live", "paused", "completed", "archived", "cancelled",
    }  # fmt: skip
    assert states["completed"] > 10


def test_its_goals_are_in_every_health(demo: Running) -> None:
    client = demo.client("goals", "demo-stakeholder")
    goals = every(client, "/v1/goals")
    ids = [each["id"] for each in goals]
    progress = client.get("/v1/progress", params={"goal_id": ids}).raise_for_status().json()["items"]
    assert {each["health"] for each in progress} >= {"on_track", "at_risk", "off_track"}
    # All that was posted had been counted when they were looked at.
    found = next(each for each in goals if each["metric"]["key"] == "email.open_rate")
    window, metrics = found["window"], demo.client("metrics", "demo-stakeholder")
    asked = {"from": window["start"], "to": window["due"], "grain": "total"}
    series = metrics.get("/v1/metrics/email.open_rate/series", params=asked).raise_for_status().json()["series"]
    shown = next(each["value"] for each in progress if each["goal_id"] == found["id"])
    assert shown == pytest.approx(float(series[0]["points"][0]["value"]))
    assert {each["state"] for each in goals} == {"draft", "active", "achieved", "missed", "cancelled"}
    assert {each["stakeholder"] for each in every(client, "/v1/objectives")} == {"ceo", "cio", "cmo", "director"}


def test_its_mail_was_told_by_three_platforms_and_belongs_to_its_campaigns(demo: Running) -> None:
    client = demo.client("metrics", "demo-specialist")
    assert len(every(client, "/v1/sources")) == 3
    events = client.get("/v1/events", params={"limit": 200}).raise_for_status().json()["items"]
    assert sum(each["campaign_id"] is not None for each in events) > 100
    assert all(each["received_at"] >= each["occurred_at"] for each in events)


def test_its_money_is_a_tree_with_a_past(demo: Running) -> None:
    client = demo.client("budget", "demo-manager")
    lines = every(client, "/v1/lines")
    assert {each["currency"] for each in lines} == {"EUR", "USD"}
    assert {each["policy"] for each in lines} == {"stop", "warn"}
    below = next(each for each in lines if each["parent_id"] and not each["campaign_id"])
    now, then = (
        client.get(f"/v1/lines/{below['id']}/position", params=params).raise_for_status().json()
        for params in ({}, {"as_of": "2001-01-01T00:00:00Z"})
    )
    assert float(now["allotted"]["amount"]) > 0
    assert float(then["allotted"]["amount"]) == 0


def test_its_software_is_in_every_state_and_partly_wasted(demo: Running) -> None:
    client = demo.client("budget", "demo-manager")
    contracts = every(client, "/v1/contracts")
    assert {each["state"] for each in contracts} == {"active", "notice_window", "renewed", "terminated", "lapsed"}
    assert any(each["by_default"] for each in contracts)
    assert any(each["short"] for each in contracts)
    ids = [each["id"] for each in contracts]
    waste = client.get("/v1/seat-waste", params={"contract_id": ids}).raise_for_status().json()["items"]
    assert any(each["idle"] > each["used"] > 0 for each in waste)
    assert len(every(client, "/v1/overlaps")) > 1
    assert {each["kind"] for each in every(client, "/v1/contract-decisions")} == {"renew", "terminate", "renegotiate"}


def test_its_assets_have_bytes_of_several_kinds(demo: Running) -> None:
    client = demo.client("assets", "demo-specialist")
    assets = every(client, "/v1/assets")
    assert {each["state"] for each in assets} >= {"draft", "in_review", "approved", "published"}
    for media_type in ("image/png", "application/pdf"):
        asset = next(each for each in assets if each["media_type"] == media_type)
        assert len(client.get(asset["content_url"]).raise_for_status().content) == asset["size"]


def test_the_other_workspace_is_empty(demo: Running) -> None:
    for part, path in (("goals", "campaigns"), ("goals", "goals"), ("budget", "lines"), ("assets", "assets"),
                       ("metrics", "sources"), ("metrics", "events")):  # fmt: skip
        assert every(demo.client(part, "other-admin"), f"/v1/{path}") == []
