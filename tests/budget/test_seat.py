"""What seats promise: who has one, who uses it, what is wasted, and that people can be forgotten."""

from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from chassis.db import Database
from chassis.testing import Clock, TestStack, statements
from tests.budget.software import CONTACT, VENDOR, made, seated, signed, used
from tests.budget.test_plan import wrong_fields
from tests.parts import APPS, Connect, Workspace


@pytest.fixture
def budget(connect: Connect, workspace: Workspace) -> httpx.AsyncClient:
    """As everywhere, with a token that outlasts idleness."""
    client = connect("budget", workspace)
    client.headers["Authorization"] = f"Bearer {workspace.token('admin', lifetime=timedelta(days=400))}"
    return client


async def items(budget: httpx.AsyncClient, path: str, **params: Any) -> list[dict[str, Any]]:
    answer = await budget.get(path, params=params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_a_person_has_one_seat_of_a_contract_and_gets_another_after_giving_it_back(
    budget: httpx.AsyncClient,
) -> None:
    contract = await signed(budget)
    seat = await seated(budget, contract, "ann", "content")
    row = {"contract_id": contract["id"], "address": "ANN@example.com", "department": "brand"}
    again = await budget.post("/v1/seats", json=row)
    assert (again.status_code, again.json()["code"]) == (409, "taken")
    released = await made(budget, f"/v1/seats/{seat['id']}/release", {})
    assert (released["is_released"], released["released_on"]) == (True, "2026-06-15")
    other = await made(budget, "/v1/seats", row)
    assert other["person_id"] == seat["person_id"]
    in_use = await items(budget, "/v1/seats", contract_id=contract["id"], is_released="false")
    assert [each["id"] for each in in_use] == [other["id"]]
    headers = {"If-Match": "*"}
    refused = await budget.patch(f"/v1/seats/{seat['id']}", json={"department": "x"}, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "released")
    moved = await budget.patch(f"/v1/seats/{other['id']}", json={"department": "x"}, headers=headers)
    assert moved.json()["department"] == "x"


async def test_uses_count_once_in_whatever_order_they_are_told(budget: httpx.AsyncClient) -> None:
    contract = await signed(budget)
    await seated(budget, contract, "ann", "content")
    told = await used(budget, contract, ann="2026-06-10", bob="2026-06-10")
    assert told == {"contract_id": contract["id"], "told": 2, "moved": 1, "unknown": [2], "bad": []}
    assert (await used(budget, contract, ann="2026-06-10"))["moved"] == 0
    assert (await used(budget, contract, ann="2026-06-01"))["moved"] == 0
    (seat,) = await items(budget, "/v1/seats", contract_id=contract["id"])
    assert (seat["last_used_on"], seat["active_on"]) == ("2026-06-10", "2026-06-15")
    future = {"contract_id": contract["id"], "uses": [{"address": "ann@example.com", "day": "2026-06-16"}]}
    assert wrong_fields(await budget.post("/v1/seat-uses", json=future)) == ["uses.0.day"]


async def test_csv_says_the_same_and_a_bad_row_stops_nothing(budget: httpx.AsyncClient) -> None:
    contract = await signed(budget)
    await seated(budget, contract, "ann", "content")
    content = "User,Last seen\nann@example.com,2026-06-10T08:00:00Z\nnobody,2026-06-10\nbob@example.com,2026-06-10\n"
    row = {"contract_id": contract["id"], "content": content, "address_column": "user", "day_column": "last seen"}
    first = await made(budget, "/v1/seat-uses/import", row)
    assert (first["told"], first["moved"], first["unknown"]) == (2, 1, [3])
    assert [(each["row"], each["field"]) for each in first["bad"]] == [(2, "address")]
    assert (await made(budget, "/v1/seat-uses/import", row))["moved"] == 0
    assert wrong_fields(await budget.post("/v1/seat-uses/import", json=row | {"day_column": "day"})) == ["content"]


async def test_seats_are_idle_from_the_last_use_on_and_cost_what_they_cost(
    budget: httpx.AsyncClient, clock: Clock
) -> None:
    contract = await signed(budget)  # 1200.00 for 4 seats and 12 months
    for name, department in {"ann": "content", "bob": "content", "eve": "brand"}.items():
        await seated(budget, contract, name, department)
    clock.forward(days=29)
    (waste,) = await items(budget, "/v1/seat-waste", contract_id=contract["id"])
    assert (waste["used"], waste["idle"], waste["unassigned"]) == (3, 0, 1)
    assert (waste["wasted_monthly"]["amount"], waste["wasted_term"]["amount"]) == ("25.00", "300.00")
    clock.forward(days=1)
    await used(budget, contract, ann="2026-06-16")
    (waste,) = await items(budget, "/v1/seat-waste", contract_id=contract["id"])
    assert (waste["used"], waste["idle"], waste["wasted_monthly"]["amount"]) == (1, 2, "75.00")
    assert [(each["department"], each["idle"], each["wasted_monthly"]["amount"]) for each in waste["departments"]] == [
        ("brand", 1, "25.00"), ("content", 1, "25.00"), ("operations", 0, "25.00"),
    ]  # fmt: skip
    idle = await items(budget, "/v1/seats", contract_id=contract["id"], idle_days=30)
    assert [each["address"] for each in idle] == ["bob@example.com", "eve@example.com"]
    assert await items(budget, "/v1/seats", contract_id=contract["id"], idle_days=31) == []
    (waste,) = await items(budget, "/v1/seat-waste", contract_id=contract["id"], idle_days=29)
    assert waste["idle"] == 3


async def test_departments_sum_over_tools_in_each_currency(budget: httpx.AsyncClient) -> None:
    mail = await signed(budget)
    other = await signed(budget, name="Chat", category="chat", cost={"amount": "48.10", "currency": "USD"})
    await seated(budget, mail, "ann", "operations")
    await seated(budget, other, "ann", "content")
    (page,) = [(await budget.get("/v1/department-seats", params={"limit": 1})).json()]
    assert [each["department"] for each in page["items"]] == ["content"]
    cursor = {"limit": 1, "cursor": page["next_cursor"]}
    (operations,) = (await budget.get("/v1/department-seats", params=cursor)).json()["items"]
    assert operations["wasted_monthly"] == [
        {"amount": "75.00", "currency": "EUR"}, {"amount": "3.01", "currency": "USD"},
    ]  # fmt: skip
    assert operations["contract_ids"] == [mail["id"], other["id"]]


async def test_waste_of_many_contracts_is_one_query(budget: httpx.AsyncClient) -> None:
    contracts = [await signed(budget, name=f"Tool {number}") for number in range(5)]
    bare = await signed(budget, seat_count=None)
    wanted = [each["id"] for each in reversed(contracts)]
    database: Database = APPS["budget"].state.database
    with statements(database) as seen:
        found = await items(budget, "/v1/seat-waste", contract_id=[*wanted, bare["id"]])
    assert [each["contract_id"] for each in found] == wanted
    assert len([each for each in seen if "seat" in each]) == 1


async def test_addresses_are_shown_only_to_who_may_see_people(
    budget: httpx.AsyncClient, connect: Connect, workspace: Workspace
) -> None:
    contract = await signed(budget)
    seat = await seated(budget, contract, "ann", "content")
    vendor = await made(budget, "/v1/vendors", VENDOR | {"name": "Other", "contact": CONTACT})
    assert (seat["address"], vendor["contact"]) == ("ann@example.com", CONTACT)
    stakeholder = connect("budget", workspace, "stakeholder")
    for path in (f"/v1/seats/{seat['id']}", f"/v1/vendors/{vendor['id']}", "/v1/seats", "/v1/vendors"):
        answer = await stakeholder.get(path)
        assert answer.status_code == 200
        assert "@" not in answer.text, path
    assert (await stakeholder.get(f"/v1/seats/{seat['id']}")).json()["address"] is None
    narrow = connect("budget", workspace)
    narrow.headers["Authorization"] = f"Bearer {workspace.token(scopes=['budget:read', 'budget:write'])}"
    renamed = await narrow.patch(f"/v1/vendors/{vendor['id']}", json={"notes": "x"}, headers={"If-Match": "*"})
    assert renamed.json()["contact"] is None
    assert (await budget.get(f"/v1/vendors/{vendor['id']}")).json()["contact"] == CONTACT
    erasing = {"address": "ann@example.com"}
    assert (await narrow.post("/v1/people/erase", json=erasing)).status_code == 403
    assert (await connect("budget", workspace, "specialist").post("/v1/people/erase", json=erasing)).status_code == 403


async def test_an_erased_address_is_in_no_column_and_what_was_paid_stays(
    budget: httpx.AsyncClient, stack: TestStack, clock: Clock
) -> None:
    contract = await signed(budget)
    await seated(budget, contract, "zoe.unique", "content")
    contact = {"name": "Zoe Unique", "address": "zoe.unique@example.com"}
    vendor = await made(budget, "/v1/vendors", VENDOR | {"name": "Other", "contact": contact})
    clock.forward(days=60)
    before = await items(budget, "/v1/seat-waste", contract_id=contract["id"])
    assert await holding(stack, "zoe.unique") == {"person.address"}
    assert (await made(budget, "/v1/people/erase", {"address": "Zoe.Unique@example.com"})) == {"erased": True}
    assert (await made(budget, "/v1/people/erase", {"address": "zoe.unique@example.com"})) == {"erased": False}
    assert await holding(stack, "zoe.unique") == await holding(stack, "zoe unique") == set()
    assert (await budget.get(f"/v1/vendors/{vendor['id']}")).json()["contact"] is None
    assert await items(budget, "/v1/seat-waste", contract_id=contract["id"]) == before
    assert [each["address"] for each in await items(budget, "/v1/seats", contract_id=contract["id"])] == [None]


async def holding(stack: TestStack, text: str) -> set[str]:
    """Every column of budget's in which some row holds a text, whatever its type."""
    admin = await asyncpg.connect(stack.admin_dsn)
    columns = await admin.fetch(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'budget'"
    )
    found = set()
    for table, column in columns:
        like = f'SELECT EXISTS (SELECT FROM budget.{table} WHERE lower("{column}"::text) LIKE $1)'
        if await admin.fetchval(like, f"%{text}%"):
            found.add(f"{table}.{column}")
    await admin.close()
    return found
