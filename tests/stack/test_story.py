"""One campaign's story, end to end: real processes, real signatures, real files, REST and graph."""

import hashlib
import os
import random
import signal
import threading
import time
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.deploy.until import until
from tests.stack.conftest import NO_TLS, Running
from tests.stack.sendgrid import BERLIN, Account, as_delivered, count, make_events

TODAY = datetime.now(BERLIN)
YEAR = TODAY.year - 1  # a year that is over, so that every run sees the same months and changes of the clocks
STORY = """
query Story($slug: String!, $from: Date!, $to: Date!) {
  campaign(slug: $slug) {
    id name slug state
    goals(first: 10) { edges { node { id title state
      smart { passed letters { letter verdict reason } } progress { value target share health } } } }
    budget {
      allotted { amount currency } reserved { amount } committed { amount } actual { amount } available { amount }
    }
    assets(first: 10) { edges { node { id title kind contentUrl } } pageInfo { hasNextPage endCursor } }
    series(metric: "email.ctr", grain: MONTH, from: $from, to: $to) { points { start value numerator denominator } }
  }
}
"""


class Story:
    """The campaign, and whatever the story has made around it."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.account = Account()
        self.slug = f"spring-{uuid4().hex[:8]}"
        self.clients = {
            part: running.client(part, "demo-manager") for part in ("goals", "metrics", "budget", "assets", "gateway")
        }
        self.source: dict[str, Any] = self.post(
            "metrics", "/v1/sources",
            {"platform": "sendgrid", "name": "Main account", "credentials": {"public_key": self.account.public_key}},
        )  # fmt: skip

    def post(self, part: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self.clients[part].post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def get(self, part: str, path: str, **query: Any) -> Any:
        answer = self.clients[part].get(path, params=query)
        assert answer.is_success, answer.text
        return answer.json()

    def start_campaign(self) -> str:
        campaign = {
            "name": "Spring launch", "slug": self.slug, "brief": "More", "channels": ["email"], "territories": ["DE"],
            "flight": {"start": f"{YEAR}-01-01", "end": f"{TODAY.year + 1}-01-01"},
        }  # fmt: skip
        return str(self.post("goals", "/v1/campaigns", campaign)["id"])

    def send(self, events: list[dict[str, Any]], rng: random.Random) -> None:
        for batch in as_delivered(rng, events):
            answer = self.account.post(self.clients["metrics"], self.source["webhook_url"], batch)
            assert answer.status_code // 100 == 2, answer.text

    def months(self, metric: str, campaign_id: str) -> dict[str, dict[str, Any]]:
        path = f"/v1/metrics/{metric}/series"
        answer = self.get("metrics", path, **{"from": f"{YEAR}-01-01", "to": f"{YEAR + 1}-01-01", "grain": "month"},
                          campaign_id=campaign_id)  # fmt: skip
        return {point["start"]: point for point in answer["series"][0]["points"]}

    def query(self, document: str = STORY, **variables: Any) -> Any:
        answer = self.clients["gateway"].post("/graphql", json={"query": document, "variables": variables})
        return answer.json()

    def story(self) -> Any:
        return self.query(slug=self.slug, **{"from": f"{YEAR}-01-01", "to": f"{YEAR + 1}-01-01"})

    def tell(self) -> "Story":
        """A year's events, some before anybody knows of the campaign; then its goal, money and logo."""
        rng = random.Random(7)
        self.events = make_events(rng, self.slug, midnight(YEAR), midnight(YEAR + 1), 3000)
        self.send(self.events[:1000], rng)
        self.campaign_id = self.start_campaign()
        self.send(self.events, rng)
        self.clicks = sum(clicks for clicks, _ in count(self.events).values())
        until(lambda: self.clicks_so_far() == self.clicks, "numbers show", 5)

        objective = self.post("goals", "/v1/objectives", {"name": "Grow", "stakeholder": "cmo"})
        goal = {
            "title": "25 % more clicks", "campaign_ids": [self.campaign_id], "metric": {"key": "email.total_clicks"},
            "kind": "increase", "baseline": {"from": f"{YEAR}-01-01", "to": f"{YEAR + 1}-01-01"},
            "target": {"change_percent": "25"}, "window": {"start": f"{YEAR + 1}-01-01", "due": f"{YEAR + 2}-01-01"},
            "owner": "mo", "relevance": "reach", "objective_id": objective["id"],
        }  # fmt: skip
        self.goal_id: str = self.post("goals", "/v1/goals", goal)["id"]
        self.smart = self.get("goals", f"/v1/goals/{self.goal_id}/smart")
        self.active = self.post("goals", f"/v1/goals/{self.goal_id}/activate")
        self.this_year = make_events(rng, self.slug, midnight(YEAR + 1), max(TODAY, midnight(YEAR + 1, 2)), 500)
        self.send(self.this_year, rng)

        line = {
            "name": "E-mail", "department": "demand generation", "campaign_id": self.campaign_id, "currency": "EUR",
            "period": {"start": f"{YEAR}-01-01", "end": f"{YEAR + 1}-01-01"}, "policy": "stop",
        }  # fmt: skip
        self.line_id: str = self.post("budget", "/v1/lines", line)["id"]
        amount = {"amount": {"amount": "1234.50", "currency": "EUR"}}
        self.post("budget", f"/v1/lines/{self.line_id}/allot", amount)
        self.logo = os.urandom(3_000_000)
        uploaded = self.clients["assets"].post(
            "/v1/assets", files={"file": ("logo.png", self.logo, "image/png")},
            data={"title": "Logo", "kind": "logo", "campaign_id": self.campaign_id},
        )  # fmt: skip
        assert uploaded.status_code == 201, uploaded.text
        self.asset_id: str = uploaded.json()["id"]
        return self

    def clicks_so_far(self) -> float:
        return float(sum(point["numerator"] for point in self.months("email.ctr", self.campaign_id).values()))


def midnight(year: int, hour: int = 0) -> datetime:
    return datetime(year, 1, 1, hour, tzinfo=BERLIN)


@pytest.fixture(scope="module")
def story(running: Running) -> Story:
    return Story(running).tell()


def test_numbers_equal_an_independent_count(story: Story) -> None:
    ctr, totals = story.months("email.ctr", story.campaign_id), story.months("email.total_clicks", story.campaign_id)
    assert len(ctr) == 12
    for month, (clicks, pairs) in count(story.events).items():
        assert (ctr[month]["numerator"], ctr[month]["denominator"]) == (clicks, pairs)
        assert ctr[month]["value"] == 100 * clicks / pairs
        assert totals[month]["value"] == clicks


def test_a_smart_goal_is_activated_with_a_number(story: Story) -> None:
    assert [letter["letter"] for letter in story.smart["letters"]] == ["S", "M", "A", "R", "T"]
    assert story.smart["passed"]
    assert (story.active["state"], story.active["baseline_value"]) == ("active", story.clicks)
    assert story.active["target_value"] == story.clicks * 1.25


def test_a_goal_hears_of_new_clicks(story: Story) -> None:
    path, so_far = f"/v1/goals/{story.goal_id}/progress", sum(month[0] for month in count(story.this_year).values())
    until(lambda: story.get("goals", path)["value"] == so_far, "the goal hears of new clicks", 10)
    assert story.get("goals", path)["share"] == pytest.approx(so_far / (story.clicks * 1.25))


def test_a_file_comes_back_as_it_went(story: Story) -> None:
    content = story.clients["assets"].get(f"/v1/assets/{story.asset_id}/content").content
    assert hashlib.sha256(content).digest() == hashlib.sha256(story.logo).digest()


def test_the_graph_tells_the_whole_story(story: Story) -> None:
    so_far = sum(month[0] for month in count(story.this_year).values())
    until(
        lambda: story.get("goals", f"/v1/goals/{story.goal_id}/progress")["value"] == so_far, "the goal has heard", 10
    )
    answer = story.story()
    assert "errors" not in answer, answer
    campaign = answer["data"]["campaign"]
    assert (campaign["id"], campaign["slug"]) == (story.campaign_id, story.slug)
    goal = campaign["goals"]["edges"][0]["node"]
    assert goal["smart"]["passed"]
    assert (goal["progress"]["value"], goal["progress"]["target"]) == (so_far, story.clicks * 1.25)
    assert campaign["budget"]["available"]["amount"] == "1234.50"
    assert campaign["assets"]["edges"][0]["node"]["contentUrl"].endswith(f"{story.asset_id}/content")
    counted = count(story.events)
    points = {point["start"]: point for point in campaign["series"]["points"]}
    assert {month: (points[month]["numerator"], points[month]["denominator"]) for month in counted} == counted


def test_a_forged_post_changes_nothing(story: Story) -> None:
    before = story.get("metrics", "/v1/metrics/email.total_clicks/series", **{
        "from": f"{YEAR}-01-01", "to": f"{YEAR + 2}-01-01", "grain": "total"})["series"]  # fmt: skip
    body = (
        b'[{"event":"click","email":"x@example.com","timestamp":1750000000,"sg_message_id":"m","url":"https://x.com"}]'
    )
    url, client = story.source["webhook_url"], story.clients["metrics"]
    good, thief = story.account.signed(body), Account().signed(body)
    later = {**good, "X-Twilio-Email-Event-Webhook-Timestamp": "1700000001"}
    for content, headers in (
        (body, thief),
        (body, {}),
        (body + b" ", good),
        (body.replace(b"x@", b"y@"), good),
        (body, later),
    ):
        assert httpx.post(url, content=content, headers=headers).status_code in (401, 403)
    assert httpx.post(url[:-4] + "AAAA", content=body, headers=good).status_code in (401, 403, 404)
    after = story.get("metrics", "/v1/metrics/email.total_clicks/series", **{
        "from": f"{YEAR}-01-01", "to": f"{YEAR + 2}-01-01", "grain": "total"})["series"]  # fmt: skip
    assert [point["value"] for point in after[0]["points"]] == [point["value"] for point in before[0]["points"]]
    assert client.get("/v1/quarantine").json()["items"] == []


def test_no_acknowledged_event_is_lost_or_doubled_by_kill_9(story: Story, running: Running) -> None:
    slug, rng = f"kill-{uuid4().hex[:8]}", random.Random(11)
    campaign = story.post("goals", "/v1/campaigns", {
        "name": "Kill", "slug": slug, "channels": ["email"],
        "flight": {"start": f"{YEAR}-01-01", "end": f"{YEAR + 1}-01-01"},
    })  # fmt: skip
    span = (datetime(YEAR, 3, 1, tzinfo=BERLIN), datetime(YEAR, 5, 1, tzinfo=BERLIN))
    events = make_events(rng, slug, *span, 4000)
    waiting, acknowledged, lock = [events[i : i + 20] for i in range(0, len(events), 20)], 0, threading.Lock()
    kills = {40, 90, 150}

    def platform() -> None:
        """Sends until everything is acknowledged, as a platform that retries does."""
        nonlocal acknowledged
        with httpx.Client(timeout=10, verify=NO_TLS) as client:
            while True:
                with lock:
                    if not waiting:
                        return
                    batch = waiting.pop()
                try:
                    taken = story.account.post(client, story.source["webhook_url"], batch).status_code // 100 == 2
                except httpx.HTTPError:
                    taken = False
                    time.sleep(0.05)  # a platform waits before it tries again
                with lock:
                    if not taken:
                        waiting.append(batch)
                        continue
                    acknowledged += 1
                    if acknowledged in kills:
                        os.kill(running.pid("metrics"), signal.SIGKILL)

    senders = [threading.Thread(target=platform) for _ in range(8)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(120)
    until(lambda: running.ready("metrics"), "metrics is back by itself")
    counted = count(events)

    def found() -> dict[str, tuple[int, int]]:
        months = story.months("email.ctr", campaign["id"])
        return {month: (months[month]["numerator"], months[month]["denominator"]) for month in counted}

    # What was stored but not counted is by the job, once nobody holds it who is dead.
    until(lambda: found() == counted, "numbers are whole")
    assert found() == counted


def test_while_metrics_is_frozen_the_rest_answers(story: Story, running: Running) -> None:
    goal_id = story.goal_id
    with running.frozen("metrics"):
        until(lambda: bool(story.get("goals", f"/v1/goals/{goal_id}/progress")["stale"]), "progress is stale", 5)
        progress = story.get("goals", f"/v1/goals/{goal_id}/progress")
        assert progress["age_seconds"] > 0
        assert progress["value"] is not None
        answer = story.story()
        assert answer["data"]["campaign"]["series"] is None
        assert answer["data"]["campaign"]["goals"]["edges"][0]["node"]["progress"]["value"] is not None
        assert answer["data"]["campaign"]["budget"]["available"]["amount"] == "1234.50"
        assert [error["path"] for error in answer["errors"]] == [["campaign", "series"]]
        assert answer["errors"][0]["extensions"] == {"code": "UPSTREAM_TIMEOUT", "service": "metrics"}
    until(lambda: "errors" not in story.story(), "the graph is whole again", 5)
    until(lambda: not story.get("goals", f"/v1/goals/{goal_id}/progress")["stale"], "progress is fresh again", 10)


def test_the_other_workspace_reaches_nothing_by_any_id(story: Story, running: Running) -> None:
    other = {part: running.client(part, "other-admin") for part in story.clients}
    goal = story.get("goals", f"/v1/goals/{story.goal_id}")
    for part, path in [
        ("goals", f"/v1/campaigns/{story.campaign_id}"), ("goals", f"/v1/goals/{story.goal_id}"),
        ("goals", f"/v1/goals/{story.goal_id}/smart"), ("goals", f"/v1/goals/{story.goal_id}/progress"),
        ("goals", f"/v1/objectives/{goal['objective_id']}"), ("budget", f"/v1/lines/{story.line_id}"),
        ("budget", f"/v1/lines/{story.line_id}/position"), ("assets", f"/v1/assets/{story.asset_id}"),
        ("assets", f"/v1/assets/{story.asset_id}/content"), ("metrics", f"/v1/sources/{story.source['id']}"),
    ]:  # fmt: skip
        assert other[part].get(path).status_code == 404, path
    for part, path in [
        ("goals", f"/v1/campaigns?id={story.campaign_id}"), ("goals", f"/v1/goals?campaign_id={story.campaign_id}"),
        ("goals", f"/v1/progress?goal_id={story.goal_id}"), ("goals", f"/v1/smart?goal_id={story.goal_id}"),
        ("assets", f"/v1/assets?campaign_id={story.campaign_id}"), ("budget", f"/v1/lines?id={story.line_id}"),
        ("metrics", f"/v1/events?source_id={story.source['id']}"), ("metrics", "/v1/quarantine"),
    ]:  # fmt: skip
        assert other[part].get(path).json()["items"] == [], path
    assert other["goals"].post(f"/v1/goals/{story.goal_id}/activate").status_code == 404
    assert other["budget"].post(
        f"/v1/lines/{story.line_id}/allot", json={"amount": {"amount": "1", "currency": "EUR"}}
    ).status_code == 404  # fmt: skip
    year = {"from": f"{YEAR}-01-01", "to": f"{YEAR + 1}-01-01", "grain": "total", "campaign_id": story.campaign_id}
    numbers = other["metrics"].get("/v1/metrics/email.total_clicks/series", params=year)
    assert numbers.json()["series"][0]["points"][0]["value"] in (0, None)
    document = "query($slug: String!, $id: ID!) { campaign(slug: $slug) { id } byId: campaign(id: $id) { id } }"
    answer = (
        other["gateway"]
        .post("/graphql", json={"query": document, "variables": {"slug": story.slug, "id": story.campaign_id}})
        .json()
    )
    assert answer["data"] == {"campaign": None, "byId": None}
