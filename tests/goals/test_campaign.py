"""What a campaign promises."""

import httpx

from tests.conftest import Connect, Workspace

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
