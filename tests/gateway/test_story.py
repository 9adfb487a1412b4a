"""What the graph promises of one campaign and what hangs on it, over the real services."""

from typing import Any

import httpx

from tests.gateway.conftest import Ask, Graph
from tests.parts import Workspace

CREATE = """
mutation Create($input: CampaignCreateInput!) {
  createCampaign(input: $input) {
    campaign { id slug state channels flight { start end } goals { nodes { id } } }
    errors { field code message }
  }
}"""
OBJECTIVE = """
mutation($input: ObjectiveCreateInput!) { createObjective(input: $input) { objective { id } errors { code } } }"""
GOAL = "mutation($input: GoalCreateInput!) { createGoal(input: $input) { goal { id } errors { field code } } }"


def campaign(slug: str) -> dict[str, Any]:
    flight = {"start": "2026-03-01", "end": "2026-06-01"}
    return {"name": slug.title(), "slug": slug, "flight": flight, "channels": ["EMAIL"]}


def goal(title: str, campaign_ids: list[str], objective_id: str) -> dict[str, Any]:
    return {
        "title": title, "campaignIds": campaign_ids, "objectiveId": objective_id,
        "metric": {"key": "email.total_clicks"},
        "kind": "INCREASE", "baseline": {"from": "2026-01-01", "to": "2026-02-01"}, "target": {"changePercent": "25"},
        "window": {"start": "2026-03-01", "due": "2026-06-01"},
    }  # fmt: skip


async def made(graph: Graph, slug: str) -> str:
    created = (await graph(CREATE, input=campaign(slug)))["createCampaign"]
    assert created["errors"] == []
    made_id: str = created["campaign"]["id"]
    return made_id


async def test_a_mutation_answers_the_row_that_it_made(graph: Graph) -> None:
    created = await graph(CREATE, input=campaign("spring"))
    assert created["createCampaign"]["campaign"] | {"id": ""} == {
        "id": "", "slug": "spring", "state": "IDEA", "channels": ["EMAIL"],
        "flight": {"start": "2026-03-01", "end": "2026-06-01"}, "goals": {"nodes": []},
    }  # fmt: skip
    assert created["createCampaign"]["errors"] == []


async def test_a_refused_mutation_says_which_field_and_why(graph: Graph) -> None:
    await made(graph, "spring")
    again = (await graph(CREATE, input=campaign("spring")))["createCampaign"]
    assert again["campaign"] is None
    assert [(each["field"], each["code"]) for each in again["errors"]] == [("slug", "taken")]
    backwards = campaign("summer") | {"flight": {"start": "2026-03-01", "end": "2026-01-01"}}
    wrong = (await graph(CREATE, input=backwards))["createCampaign"]
    assert wrong["errors"][0]["field"] == "flight"


async def test_a_mutation_without_the_scope_is_refused_with_a_code(graph_of: Ask, workspace: Workspace) -> None:
    stakeholder = await graph_of(workspace, "stakeholder")
    refused = (await stakeholder(CREATE, input=campaign("spring")))["createCampaign"]
    assert (refused["campaign"], refused["errors"][0]["code"]) == (None, "scope_missing")


async def test_a_campaign_is_found_by_id_and_by_slug(graph: Graph) -> None:
    made_id = await made(graph, "spring")
    found = await graph(
        """query($id: ID!) { a: campaign(id: $id) { slug } b: campaign(slug: "spring") { id }
           c: campaign(slug: "no") { id } }""",
        id=made_id.upper(),
    )
    assert found == {"a": {"slug": "spring"}, "b": {"id": made_id}, "c": None}


async def test_what_is_no_id_names_nothing_and_spoils_nothing(graph: Graph) -> None:
    made_id = await made(graph, "spring")
    found = await graph('query($id: ID!) { a: campaign(id: "x") { slug } b: campaign(id: $id) { slug } }', id=made_id)
    assert found == {"a": None, "b": {"slug": "spring"}}


async def test_a_foreign_id_looks_like_a_missing_one(
    graph: Graph, graph_of: Ask, workspace: Workspace, other_workspace: Workspace
) -> None:
    made_id = await made(graph, "spring")
    other = await graph_of(other_workspace)
    query = """query($id: ID!) { campaign(id: $id) { slug } named: campaign(slug: "spring") { id }
               campaigns { nodes { id } } }"""
    assert await other(query, id=made_id) == {"campaign": None, "named": None, "campaigns": {"nodes": []}}


async def test_a_list_goes_on_after_any_of_its_cursors(graph: Graph) -> None:
    for name in "abcde":
        await made(graph, name)
    query = """query($after: String) { campaigns(first: 2, after: $after, sort: NAME_DESC) {
                 edges { cursor node { slug } } pageInfo { hasNextPage endCursor } } }"""
    seen, after, more = [], None, True
    while more:
        page = (await graph(query, after=after))["campaigns"]
        seen += [edge["node"]["slug"] for edge in page["edges"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    assert seen == ["e", "d", "c", "b", "a"]
    first = (await graph(query))["campaigns"]["edges"][0]["cursor"]
    assert [edge["node"]["slug"] for edge in (await graph(query, after=first))["campaigns"]["edges"]] == ["d", "c"]
    # The end of a list is a place too: what comes later is after it.
    by_age = "query($after: String) { campaigns(after: $after) { nodes { slug } pageInfo { endCursor } } }"
    end = (await graph(by_age))["campaigns"]["pageInfo"]["endCursor"]
    assert (await graph(by_age, after=end))["campaigns"]["nodes"] == []
    await made(graph, "late")
    assert (await graph(by_age, after=end))["campaigns"]["nodes"] == [{"slug": "late"}]


async def test_goals_and_campaigns_find_each_other(graph: Graph) -> None:
    ids = [await made(graph, slug) for slug in ("spring", "summer")]
    objective = (await graph(OBJECTIVE, input={"name": "Grow", "stakeholder": "CEO"}))["createObjective"]["objective"]
    for title, of in (("one", ids[:1]), ("both", ids)):
        answer = (await graph(GOAL, input=goal(title, of, objective["id"])))["createGoal"]
        assert answer["errors"] == [], answer
    query = """query($id: ID!) { campaign(id: $id) { goals(first: 5) { nodes {
                 title state campaigns { nodes { slug } }
                 objective { name stakeholder goals { nodes { title } } } } } } }"""
    goals = (await graph(query, id=ids[0]))["campaign"]["goals"]["nodes"]
    assert [each["title"] for each in goals] == ["one", "both"]
    assert [node["slug"] for node in goals[1]["campaigns"]["nodes"]] == ["spring", "summer"]
    assert goals[0]["objective"]["stakeholder"] == "CEO"
    assert [node["title"] for node in goals[0]["objective"]["goals"]["nodes"]] == ["one", "both"]


async def test_every_edge_is_one_call_however_many_rows_there_are(graph: Graph) -> None:
    query = """{ campaigns(first: 200) { nodes { slug goals(first: 3) { nodes {
                 title objective { name } campaigns { nodes { id } } } } } } }"""
    objective = (await graph(OBJECTIVE, input={"name": "Grow", "stakeholder": "CEO"}))["createObjective"]["objective"]
    shapes = []
    for more in (1, 4, 7):
        for number in range(more):
            made_id = await made(graph, f"c{more}-{number}")
            await graph(GOAL, input=goal("more", [made_id], objective["id"]))
        shapes.append(await graph.asked_by(query))
    # The goals' campaigns are known by their ids only, and are a level of their own.
    assert shapes[0] == ["GET /v1/campaigns", "GET /v1/campaigns", "GET /v1/goals", "GET /v1/objectives"]
    assert shapes == [shapes[0]] * 3


async def test_what_two_fields_ask_for_alike_is_read_once(graph: Graph) -> None:
    made_id = await made(graph, "spring")
    asked = await graph.asked_by(
        "query($id: ID!) { a: campaign(id: $id) { slug } b: campaign(id: $id) { name goals { nodes { id } } }"
        " c: campaign(id: $id) { goals { nodes { title } } } }",
        id=made_id,
    )
    assert asked == ["GET /v1/campaigns", "GET /v1/goals"]


MONEY = """mutation($line: LineCreateInput!) { createLine(input: $line) { line { id } errors { field code } } }"""
ALLOT = """mutation($id: ID!, $allot: AllotmentCreateInput!) {
  allotLine(id: $id, input: $allot) { linePosition { available { amount currency } } errors { field code } }
}"""


async def allotted(graph: Graph, campaign_id: str, currency: str = "EUR") -> str:
    line = {
        "name": "Ads", "department": "demand generation", "campaignId": campaign_id, "currency": currency,
        "period": {"start": "2026-01-01", "end": "2027-01-01"}, "policy": "STOP",
    }  # fmt: skip
    created = (await graph(MONEY, line=line))["createLine"]
    assert created["errors"] == []
    line_id: str = created["line"]["id"]
    allot = {"amount": {"amount": "1000.50", "currency": currency}}
    assert (await graph(ALLOT, id=line_id, allot=allot))["allotLine"]["errors"] == []
    return line_id


async def test_a_campaign_tells_its_money_and_its_assets(graph: Graph, assets: httpx.AsyncClient) -> None:
    made_id = await made(graph, "spring")
    line_id = await allotted(graph, made_id)
    fields = {"title": "Logo", "kind": "logo", "campaign_id": made_id}
    files = {"file": ("logo.png", b"\x89PNG\r\n\x1a\n")}
    assert (await assets.post("/v1/assets", data=fields, files=files)).status_code == 201
    query = """query($slug: String!) { campaign(slug: $slug) {
      budget { allotted { amount currency } actual { amount } available { amount } lines { nodes {
        id position { allotted { amount } } campaign { slug } parent { id } } } }
      assets(first: 10) { edges { node { title kind contentUrl campaigns { nodes { slug } } } } }
    } }"""
    found = (await graph(query, slug="spring"))["campaign"]
    assert found["budget"] == {
        "allotted": {"amount": "1000.50", "currency": "EUR"}, "actual": {"amount": "0.00"},
        "available": {"amount": "1000.50"},
        "lines": {"nodes": [
            {"id": line_id, "position": {"allotted": {"amount": "1000.50"}}, "campaign": {"slug": "spring"},
             "parent": None}
        ]},
    }  # fmt: skip
    (edge,) = found["assets"]["edges"]
    assert edge["node"]["contentUrl"]
    assert (edge["node"]["title"], edge["node"]["campaigns"]) == ("Logo", {"nodes": [{"slug": "spring"}]})


async def test_money_that_cant_be_added_up_is_null_with_a_code(graph: Graph) -> None:
    made_id = await made(graph, "spring")
    await allotted(graph, made_id)
    # Which no bank's table has.
    await allotted(graph, made_id, "VES")
    answer = await graph.ask(
        "query($id: ID!) { campaign(id: $id) { slug budget { available { amount } } } }", id=made_id
    )
    assert answer["data"] == {"campaign": {"slug": "spring", "budget": None}}
    assert answer["errors"][0]["extensions"] == {"code": "MIXED_CURRENCIES", "service": "budget"}


async def test_a_service_that_is_away_leaves_the_others_fields(graph: Graph) -> None:
    made_id = await made(graph, "spring")
    query = """query($id: ID!) { campaign(id: $id) { slug budget { available { amount } } goals { nodes { id } }
               assets { nodes { id } } } }"""
    for broken, code in ((graph.frozen, "UPSTREAM_TIMEOUT"), (graph.dead, "UPSTREAM_UNAVAILABLE")):
        with broken("budget"):
            answer = await graph.ask(query, id=made_id)
        assert answer["data"]["campaign"] == {
            "slug": "spring", "budget": None, "goals": {"nodes": []}, "assets": {"nodes": []},
        }  # fmt: skip
        (error,) = answer["errors"]
        assert (error["path"], error["extensions"]) == (["campaign", "budget"], {"code": code, "service": "budget"})
