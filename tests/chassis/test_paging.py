"""What a list promises: every row once, in order, however it is cut; groups are pages of their parents."""

import base64
import json
from typing import Any

import httpx
import pytest

from chassis.fields import new_id

NAMES = ["delta", "alpha", "charlie", "alpha", "bravo", "echo", "alpha"]


async def make(goals: httpx.AsyncClient) -> list[dict[str, Any]]:
    made = []
    for number, name in enumerate(NAMES):
        campaign = {
            "name": name, "slug": f"{name}-{number}", "channels": ["email"],
            "flight": {"start": f"2026-03-{number + 1:02}", "end": "2026-04-01"},
        }  # fmt: skip
        made.append((await goals.post("/v1/campaigns", json=campaign)).json())
    return made


async def walk(goals: httpx.AsyncClient, limit: int, **query: Any) -> list[str]:
    ids, cursor, pages = [], None, 0
    while cursor is not None or pages == 0:
        page = (
            await goals.get("/v1/campaigns", params={"limit": limit, **query, **({"cursor": cursor} if cursor else {})})
        ).json()
        ids += [item["id"] for item in page["items"]]
        cursor, pages = page["next_cursor"], pages + 1
    assert pages == max(1, -(-len(ids) // limit))
    return ids


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 200])
@pytest.mark.parametrize("sort", ["id", "-id", "name", "-name", "flight_start", "-created_at"])
async def test_every_row_comes_once_in_order(goals: httpx.AsyncClient, limit: int, sort: str) -> None:
    made = await make(goals)
    field = sort.removeprefix("-")
    keyed = {
        "flight_start": lambda row: (row["flight"]["start"], row["id"]),
        "id": lambda row: row["id"],
    }.get(field, lambda row: (row[field], row["id"]))
    expected = sorted(made, key=keyed, reverse=sort.startswith("-"))
    assert await walk(goals, limit, sort=sort) == [row["id"] for row in expected]


@pytest.mark.parametrize("letter", ["😀", "я", '"', "\\", "\x01"])
async def test_the_longest_name_makes_a_cursor_that_is_taken(goals: httpx.AsyncClient, letter: str) -> None:
    for number in range(3):
        campaign = {
            "name": "a" + letter * 198 + str(number), "slug": f"s-{number}", "channels": ["email"],
            "flight": {"start": "2026-03-01", "end": "2026-04-01"},
        }  # fmt: skip
        assert (await goals.post("/v1/campaigns", json=campaign)).status_code == 201
    assert len(await walk(goals, 1, sort="name")) == 3


@pytest.mark.parametrize("text", ["a\0", "\ud800"])
async def test_a_cursor_with_what_no_text_can_hold_is_refused(goals: httpx.AsyncClient, text: str) -> None:
    forged = base64.urlsafe_b64encode(json.dumps(["name", text, str(new_id())]).encode()).decode()
    answer = await goals.get("/v1/campaigns", params={"sort": "name", "cursor": forged})
    assert (answer.status_code, [each["field"] for each in answer.json()["errors"]]) == (422, ["cursor"])


async def test_a_filter_and_a_batch_of_ids_narrow_a_list(goals: httpx.AsyncClient) -> None:
    made = await make(goals)
    assert await walk(goals, 2, slug=["alpha-1", "echo-5", "nobody"]) == [made[1]["id"], made[5]["id"]]
    wanted = [made[4]["id"], made[0]["id"]]
    assert sorted(await walk(goals, 50, id=wanted)) == sorted(wanted)
    assert await walk(goals, 50, state="live") == []


@pytest.mark.parametrize("cursor", ["x", "", "e30", "WyJuYW1lIiwgMV0", "W1tb" * 400, "%F0%9F%98%80"])
async def test_a_cursor_that_is_not_ours_is_refused(goals: httpx.AsyncClient, cursor: str) -> None:
    answer = await goals.get(f"/v1/campaigns?cursor={cursor}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "cursor")


async def test_a_cursor_belongs_to_its_order(goals: httpx.AsyncClient) -> None:
    await make(goals)
    cursor = (await goals.get("/v1/campaigns?limit=2&sort=name")).json()["next_cursor"]
    assert (await goals.get(f"/v1/campaigns?sort=-name&cursor={cursor}")).status_code == 422


async def test_a_group_is_the_first_page_of_its_parent(goals: httpx.AsyncClient) -> None:
    campaigns = await make(goals)
    objective = (await goals.post("/v1/objectives", json={"name": "Grow", "stakeholder": "ceo"})).json()
    for number in range(5):
        goal = {
            "title": f"Goal {number}", "metric": {"key": "email.ctr"}, "kind": "reach", "target": {"value": 5},
            "window": {"start": "2026-01-01", "due": "2027-01-01"}, "objective_id": objective["id"],
            "campaign_ids": [campaigns[0]["id"]] + [campaigns[1]["id"]] * (number % 2),
        }  # fmt: skip
        assert (await goals.post("/v1/goals", json=goal)).status_code == 201
    ids = [campaign["id"] for campaign in campaigns[:3]]
    groups = (await goals.get("/v1/goals", params={"campaign_id": ids, "limit_per": 2, "sort": "-title"})).json()[
        "groups"
    ]
    assert [group["key"] for group in groups] == ids
    assert [[item["title"] for item in group["items"]] for group in groups] == [
        ["Goal 4", "Goal 3"], ["Goal 3", "Goal 1"], [],
    ]  # fmt: skip
    assert [group["next_cursor"] is None for group in groups] == [False, True, True]
    more = {"campaign_id": ids[0], "limit_per": 2, "sort": "-title", "cursor": groups[0]["next_cursor"]}
    after = (await goals.get("/v1/goals", params=more)).json()["groups"][0]
    assert [item["title"] for item in after["items"]] == ["Goal 2", "Goal 1"]
    by_objective = (await goals.get("/v1/goals", params={"objective_id": objective["id"], "limit_per": 9})).json()
    assert len(by_objective["groups"][0]["items"]) == 5
    assert (await goals.get("/v1/goals?limit_per=2")).json()["errors"][0]["field"] == "limit_per"
