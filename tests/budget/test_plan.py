"""What a budget line promises."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.parts import Connect, Workspace

LINE = {
    "name": "E-mail", "department": "demand generation", "currency": "EUR", "policy": "stop",
    "period": {"start": "2026-01-01", "end": "2027-01-01"},
}  # fmt: skip


async def open_line(budget: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    created = await budget.post("/v1/lines", json=LINE | changes)
    assert created.status_code == 201, created.text
    line: dict[str, Any] = created.json()
    return line


def wrong_fields(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return [error["field"] for error in answer.json()["errors"]]


async def test_a_line_is_kept_as_it_was_sent(budget: httpx.AsyncClient) -> None:
    campaign = str(uuid4())
    line = await open_line(budget, campaign_id=campaign)
    assert line.items() >= (LINE | {"campaign_id": campaign, "parent_id": None}).items()
    assert (await budget.get(f"/v1/lines/{line['id']}")).json() == line


async def test_lines_are_found_by_their_channel(budget: httpx.AsyncClient) -> None:
    line = await open_line(budget, channel="email")
    await open_line(budget, channel="search")
    (found,) = (await budget.get("/v1/lines?channel=email")).json()["items"]
    assert found == line


async def test_a_line_may_lie_below_another(budget: httpx.AsyncClient) -> None:
    parent = await open_line(budget)
    child = await open_line(budget, parent_id=parent["id"], period={"start": "2026-03-01", "end": "2026-06-01"})
    assert child["parent_id"] == parent["id"]
    whole = await open_line(budget, parent_id=parent["id"])
    assert whole["period"] == parent["period"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"currency": "USD"}, "currency"),
        ({"period": {"start": "2025-12-31", "end": "2026-06-01"}}, "period"),
        ({"period": {"start": "2026-03-01", "end": "2027-01-02"}}, "period"),
    ],
)
async def test_a_line_below_another_has_its_currency_and_lies_in_its_period(
    budget: httpx.AsyncClient, changes: dict[str, Any], field: str
) -> None:
    parent = await open_line(budget)
    refused = await budget.post("/v1/lines", json=LINE | {"parent_id": parent["id"]} | changes)
    assert wrong_fields(refused) == [field]


async def test_a_parent_that_is_not_there_is_named(budget: httpx.AsyncClient) -> None:
    assert wrong_fields(await budget.post("/v1/lines", json=LINE | {"parent_id": str(uuid4())})) == ["parent_id"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"colour": "red"}, "colour"),
        ({"name": " "}, "name"),
        ({"policy": "hope"}, "policy"),
        ({"currency": "XXZ"}, "currency"),
        ({"period": {"start": "2026-06-01", "end": "2026-06-01"}}, "period"),
        ({"period": {"start": "2026-06-01", "end": "2026-07-01", "middle": "2026-06-15"}}, "period.middle"),
        ({"campaign_id": "spring"}, "campaign_id"),
    ],
)
async def test_a_line_that_makes_no_sense_is_refused_by_its_field(
    budget: httpx.AsyncClient, changes: dict[str, Any], field: str
) -> None:
    assert wrong_fields(await budget.post("/v1/lines", json=LINE | changes)) == [field]


async def test_lines_are_found_by_id_campaign_department_and_parent(budget: httpx.AsyncClient) -> None:
    campaign = str(uuid4())
    root = await open_line(budget, department="brand")
    child = await open_line(budget, parent_id=root["id"], campaign_id=campaign)
    other = await open_line(budget, campaign_id=str(uuid4()))

    async def found(**params: Any) -> list[str]:
        answer = await budget.get("/v1/lines", params=params)
        assert answer.status_code == 200, answer.text
        return [line["id"] for line in answer.json()["items"]]

    assert await found() == [root["id"], child["id"], other["id"]]
    assert await found(sort="-id") == [other["id"], child["id"], root["id"]]
    assert await found(id=[other["id"], root["id"], str(uuid4())]) == [root["id"], other["id"]]
    assert await found(campaign_id=campaign) == [child["id"]]
    assert await found(department=["brand", "content"]) == [root["id"]]
    assert await found(parent_id=root["id"]) == [child["id"]]
    assert await found(parent_id=root["id"], department="brand") == []


async def test_lines_come_page_by_page(budget: httpx.AsyncClient) -> None:
    made = [(await open_line(budget, name=name))["id"] for name in ("b", "a", "c")]
    first = (await budget.get("/v1/lines", params={"limit": 2, "sort": "name"})).json()
    assert [line["name"] for line in first["items"]] == ["a", "b"]
    rest = (await budget.get("/v1/lines", params={"limit": 2, "sort": "name", "cursor": first["next_cursor"]})).json()
    assert [line["id"] for line in rest["items"]] == [made[2]]
    assert rest["next_cursor"] is None


async def test_lines_of_many_campaigns_come_in_groups(budget: httpx.AsyncClient) -> None:
    spring, autumn, empty = (str(uuid4()) for _ in range(3))
    of_spring = [(await open_line(budget, campaign_id=spring))["id"] for _ in range(3)]
    of_autumn = await open_line(budget, campaign_id=autumn)
    asked: dict[str, Any] = {"campaign_id": [autumn, spring, empty], "limit_per": 2}
    groups = (await budget.get("/v1/lines", params=asked)).json()["groups"]
    assert [group["key"] for group in groups] == [autumn, spring, empty]
    assert [[line["id"] for line in group["items"]] for group in groups] == [[of_autumn["id"]], of_spring[:2], []]
    asked |= {"campaign_id": spring, "cursor": groups[1]["next_cursor"]}
    (rest,) = (await budget.get("/v1/lines", params=asked)).json()["groups"]
    assert [line["id"] for line in rest["items"]] == of_spring[2:]
    assert rest["next_cursor"] is None


async def test_groups_need_campaigns_to_group_by(budget: httpx.AsyncClient) -> None:
    assert wrong_fields(await budget.get("/v1/lines", params={"limit_per": 2})) == ["limit_per"]


async def test_another_workspace_sees_no_line_of_ours_and_cannot_build_on_one(
    budget: httpx.AsyncClient, connect: Connect, other_workspace: Workspace
) -> None:
    campaign = str(uuid4())
    line = await open_line(budget, campaign_id=campaign)
    theirs = connect("budget", other_workspace)
    assert (await theirs.get(f"/v1/lines/{line['id']}")).status_code == 404
    assert (await theirs.get("/v1/lines", params={"id": line["id"]})).json()["items"] == []
    (group,) = (await theirs.get("/v1/lines", params={"campaign_id": campaign, "limit_per": 5})).json()["groups"]
    assert group["items"] == []
    assert wrong_fields(await theirs.post("/v1/lines", json=LINE | {"parent_id": line["id"]})) == ["parent_id"]


async def test_a_stakeholder_reads_lines_and_opens_none(
    budget: httpx.AsyncClient, connect: Connect, workspace: Workspace
) -> None:
    line = await open_line(budget)
    stakeholder = connect("budget", workspace, "stakeholder")
    assert (await stakeholder.get(f"/v1/lines/{line['id']}")).status_code == 200
    assert (await stakeholder.post("/v1/lines", json=LINE)).status_code == 403
    assert (await connect("budget").get("/v1/lines")).status_code == 401


async def test_only_who_approves_lets_a_line_be_overspent(
    budget: httpx.AsyncClient, connect: Connect, workspace: Workspace
) -> None:
    line = await open_line(budget, policy="stop")
    path, any_version = f"/v1/lines/{line['id']}", {"If-Match": "*"}
    for policy, role, status in (
        ("warn", "specialist", 403), ("warn", "manager", 200), ("stop", "specialist", 200), ("stop", "specialist", 200),
    ):  # fmt: skip
        client = connect("budget", workspace, role)
        answer = await client.patch(path, json={"policy": policy, "name": "Renamed"}, headers=any_version)
        assert answer.status_code == status, answer.text
    assert (await budget.get(path)).json()["policy"] == "stop"
