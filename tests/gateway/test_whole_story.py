"""The one query that shows what the graph is for, over all four services and real numbers."""

import base64
import json
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from chassis.fields import new_id
from chassis.testing import Clock
from gateway.derive.contract import Contract, load
from gateway.derive.kinds import Asked, Attached, Edge, Many, Ref
from gateway.edges import EDGES
from gateway.graphql import OPENAPI
from tests.gateway.conftest import Graph
from tests.gateway.test_story import GOAL, OBJECTIVE, allotted, goal, made
from tests.parts import Connect, Deliver, Workspace

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
    series(metric: "email.total_clicks", grain: MONTH, from: $from, to: $to) {
      points { start value numerator denominator } }
  }
}"""
SPAN = {"from": "2026-03-01", "to": "2026-06-01"}
SECRET = "whsec_" + base64.b64encode(b"a secret of at least 24 bytes").decode()


async def clicked(metrics: httpx.AsyncClient, clock: Clock, slug: str, days: list[str]) -> None:
    """Clicks in the campaign's mails, one on each of the days."""
    source = {"platform": "standard", "name": "Mail", "credentials": {"signing_secret": SECRET}}
    url = (await metrics.post("/v1/sources", json=source)).json()["webhook_url"]
    events = [
        {"type": "clicked", "recipient": f"p{n}@example.com", "message_id": str(new_id()), "url": "https://x.org",
         "occurred_at": f"{day}T12:00:00Z", "tags": [slug]}
        for n, day in enumerate(days)
    ]  # fmt: skip
    body, message = json.dumps({"events": events}), f"msg_{new_id()}"
    headers = {
        "webhook-id": message, "webhook-timestamp": str(int(clock.now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(message, clock.now, body), "content-type": "application/json",
    }  # fmt: skip
    assert (await metrics.post(url, content=body, headers=headers)).is_success


async def told(
    graph: Graph, metrics: httpx.AsyncClient, assets: httpx.AsyncClient, clock: Clock, deliver: Deliver
) -> str:
    """A campaign with a goal, money, an asset and clicks."""
    made_id = await made(graph, "spring")
    await deliver()
    await clicked(metrics, clock, "spring", ["2026-03-02", "2026-03-31", "2026-05-01"])
    objective = (await graph(OBJECTIVE, input={"name": "Grow", "stakeholder": "CEO"}))["createObjective"]["objective"]
    assert (await graph(GOAL, input=goal("More", [made_id], objective["id"])))["createGoal"]["errors"] == []
    await allotted(graph, made_id)
    fields = {"title": "Logo", "kind": "logo", "campaign_id": made_id}
    assert (await assets.post("/v1/assets", data=fields, files={"file": ("logo.png", b"\x89PNG")})).status_code == 201
    await deliver()
    return made_id


async def test_one_query_tells_a_campaigns_story(
    graph: Graph, metrics: httpx.AsyncClient, assets: httpx.AsyncClient, clock: Clock, deliver: Deliver
) -> None:
    made_id = await told(graph, metrics, assets, clock, deliver)
    found = (await graph(STORY, slug="spring", **SPAN))["campaign"]
    assert (found["id"], found["state"]) == (made_id, "IDEA")
    (node,) = [edge["node"] for edge in found["goals"]["edges"]]
    assert [each["letter"] for each in node["smart"]["letters"]] == list("SMART")
    assert node["progress"].keys() == {"value", "target", "share", "health"}
    assert found["budget"]["available"] == {"amount": "1000.50"}
    assert [edge["node"]["title"] for edge in found["assets"]["edges"]] == ["Logo"]
    points = [(point["start"], point["value"]) for point in found["series"]["points"]]
    assert points == [("2026-03-01", 2), ("2026-04-01", 0), ("2026-05-01", 1)]
    assert await graph.asked_by(STORY, slug="spring", **SPAN) == [
        "GET /v1/assets", "GET /v1/campaigns", "GET /v1/goals", "GET /v1/positions", "GET /v1/progress",
        "GET /v1/smart", "POST /v1/series/query",
    ]  # fmt: skip


async def test_goals_and_the_workspace_have_series_too(
    graph: Graph, metrics: httpx.AsyncClient, assets: httpx.AsyncClient, clock: Clock, deliver: Deliver
) -> None:
    await told(graph, metrics, assets, clock, deliver)
    query = """query($from: Date!, $to: Date!) {
      goals { nodes { series(from: $from, to: $to, grain: TOTAL) { points { value } } } }
      series(metric: "email.total_clicks", from: $from, to: $to, grain: TOTAL) { points { value } }
      none: series(metric: "no.such", from: $from, to: $to, grain: TOTAL) { points { value } }
      events(first: 1) { nodes { type campaign { slug events(first: 2) { nodes { type } } } source { name } } }
    }"""
    answer = await graph.ask(query, **SPAN)
    three: dict[str, Any] = {"points": [{"value": 3}]}
    assert answer["data"]["goals"]["nodes"] == [{"series": three}]
    assert (answer["data"]["series"], answer["data"]["none"]) == (three, None)
    assert [each["extensions"] for each in answer["errors"]] == [{"code": "NOT_FOUND", "service": "metrics"}], answer
    (event,) = answer["data"]["events"]["nodes"]
    assert (event["campaign"]["slug"], event["source"]["name"]) == ("spring", "Mail")
    assert len(event["campaign"]["events"]["nodes"]) == 2


async def test_metrics_away_costs_the_story_its_numbers_only(
    graph: Graph, metrics: httpx.AsyncClient, assets: httpx.AsyncClient, clock: Clock, deliver: Deliver
) -> None:
    await told(graph, metrics, assets, clock, deliver)
    before = (await graph(STORY, slug="spring", **SPAN))["campaign"]
    with graph.frozen("metrics"):
        answer = await graph.ask(STORY, slug="spring", **SPAN)
    assert [each["extensions"]["code"] for each in answer["errors"]] == ["UPSTREAM_TIMEOUT"]
    # How goals stand is goals' own memory of what metrics said.
    assert answer["data"]["campaign"].pop("goals")["edges"]
    before.pop("goals")
    assert answer["data"]["campaign"] == before | {"series": None}


@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: edge.name)
async def test_every_edge_is_answered_by_its_service(edge: Edge, connect: Connect, workspace: Workspace) -> None:
    """OpenAPI doesn't say by which of its filters a list can answer in groups: so it is asked."""
    operation = Contract(load(OPENAPI)).operations[edge.operation]
    service = connect(operation.service, workspace)
    ids = [str(new_id()), str(new_id())]
    if isinstance(edge, Asked):
        answer = await service.post(operation.path, json={edge.queries: []})
        assert answer.json()[edge.answers] == []
        return
    by = edge.by if isinstance(edge, Many | Ref) else edge.key if isinstance(edge, Attached) else "id"
    grouped = {"limit_per": 3} if isinstance(edge, Many) else {}
    answer = await service.get(operation.path, params={by: ids, **grouped})
    assert answer.status_code == 200, answer.text
    if isinstance(edge, Many):
        assert [group["key"] for group in answer.json()["groups"]] == ids
    else:
        assert "items" in answer.json()
