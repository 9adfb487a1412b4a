"""What the ledger promises."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from chassis.testing import START, Clock, TestStack, statements
from services.budget.ledger import store
from services.budget.ledger.actions import move
from services.budget.ledger.rules import Amounts, EntryKind, Leg
from tests.budget.conftest import Person
from tests.budget.test_plan import open_line, wrong_fields
from tests.parts import Connect, Workspace, open_workspace


def money(amount: str, currency: str = "EUR") -> dict[str, str]:
    return {"amount": amount, "currency": currency}


def position(allotted: str, taken: str = "0.00", currency: str = "EUR") -> dict[str, Any]:
    return {
        "allotted": money(allotted, currency), "available": money(allotted, currency),
        **{pot: money(taken, currency) for pot in ("reserved", "committed", "actual", "transferred", "fx", "price")},
    }  # fmt: skip


async def allot(budget: httpx.AsyncClient, line: dict[str, Any], amount: str, currency: str = "EUR") -> dict[str, Any]:
    answer = await budget.post(f"/v1/lines/{line['id']}/allot", json={"amount": money(amount, currency)})
    assert answer.status_code == 200, answer.text
    after: dict[str, Any] = answer.json()
    return after


async def entries_sum(apps: dict[str, FastAPI], workspace: Workspace, line: dict[str, Any]) -> Amounts:
    async with apps["budget"].state.database.tenant(workspace.id) as session:
        return await store.balance_at(session, UUID(line["id"]), datetime.max.replace(tzinfo=UTC))


async def test_a_new_line_has_nothing(budget: httpx.AsyncClient) -> None:
    line = await open_line(budget)
    found = (await budget.get(f"/v1/lines/{line['id']}/position")).json()
    assert found == {"line_id": line["id"], **position("0.00")}


async def test_an_allotment_answers_with_the_position_after_it(budget: httpx.AsyncClient) -> None:
    line = await open_line(budget)
    assert await allot(budget, line, "1000") == {"line_id": line["id"], **position("1000.00")}
    after = await allot(budget, line, "0.01")
    assert after == {"line_id": line["id"], **position("1000.01")}
    assert (await budget.get(f"/v1/lines/{line['id']}/position")).json() == after


@pytest.mark.parametrize(("currency", "amount"), [("JPY", "5"), ("KWD", "5.001"), ("RSD", "5.01"), ("IQD", "5.001")])
async def test_money_has_the_places_of_its_currency(budget: httpx.AsyncClient, currency: str, amount: str) -> None:
    line = await open_line(budget, currency=currency)
    assert (await allot(budget, line, amount, currency))["allotted"] == money(amount, currency)
    finer = await budget.post(f"/v1/lines/{line['id']}/allot", json={"amount": money(f"{float(amount)}1", currency)})
    assert wrong_fields(finer) == ["amount"]


@pytest.mark.parametrize(
    ("amount", "field"),
    [
        (money("5", "USD"), "amount.currency"), (money("0"), "amount.amount"), (money("-5"), "amount.amount"),
        (money("a lot"), "amount.amount"), (money("NaN"), "amount.amount"),
        # 100,000,000,000,000,000.00 is 10 ** 19 cents, more than a bigint holds.
        (money("100000000000000000"), "amount"),
        ({"amount": "5"}, "amount.currency"), (None, "amount"),
    ],
)  # fmt: skip
async def test_an_allotment_that_makes_no_sense_is_refused_by_its_field(
    budget: httpx.AsyncClient, amount: Any, field: str
) -> None:
    line = await open_line(budget)
    refused = await budget.post(f"/v1/lines/{line['id']}/allot", json={"amount": amount})
    assert wrong_fields(refused) == [field]
    assert (await budget.get(f"/v1/lines/{line['id']}/position")).json()["allotted"] == money("0.00")


async def test_a_line_never_holds_more_than_can_be_kept_and_a_campaign_may(budget: httpx.AsyncClient) -> None:
    campaign = str(uuid4())
    lines = [await open_line(budget, campaign_id=campaign) for _ in range(2)]
    for line in lines:
        await allot(budget, line, "92233720368547758")
        await allot(budget, line, "0.07")  # 2 ** 63 - 1 cents
        full = await budget.post(f"/v1/lines/{line['id']}/allot", json={"amount": money("0.01")})
        assert wrong_fields(full) == ["amount.amount"]
    answer = await budget.get("/v1/positions", params={"campaign_id": campaign})
    assert answer.json()["items"][0]["position"]["allotted"] == money("184467440737095516.14")


async def test_what_a_line_has_can_always_be_added_up(budget: httpx.AsyncClient, person: Person) -> None:
    most = money("999999999999999999", "JPY")
    lines = [await open_line(budget, currency="JPY", policy="warn") for _ in range(2)]
    for line in lines:
        for _ in range(9):
            await allot(budget, line, most["amount"], "JPY")
    moved = {"from_line_id": lines[0]["id"], "to_line_id": lines[1]["id"], "amount": most, "reason": "x"}
    transfer = (await person("ada").post("/v1/transfers", json=moved)).json()
    full = await person("bob").post(f"/v1/transfers/{transfer['id']}/approve")
    assert wrong_fields(full) == ["amount.amount"]
    for path in ("/v1/exports/lines", "/v1/ledger-check"):
        assert (await budget.get(path)).status_code == 200
    body = {"title": "x", "line_id": lines[0]["id"], "amount": most}
    for place in range(19):
        request = (await person("ada").post("/v1/requests", json=body)).json()
        await person("ada").post(f"/v1/requests/{request['id']}/submit")
        answer = await person("bob").post(f"/v1/requests/{request['id']}/approve")
        assert answer.status_code == (200 if place < 9 else 422), answer.text
        if place >= 9:
            break
    assert (await budget.get("/v1/ledger-check")).json()["sound"]


async def test_concurrent_allotments_all_count_and_the_balance_is_the_sum_of_the_entries(
    budget: httpx.AsyncClient, apps: dict[str, FastAPI], workspace: Workspace
) -> None:
    line = await open_line(budget)
    answers = await asyncio.gather(*(allot(budget, line, f"{cents}.01") for cents in range(1, 33)))
    exact = 32 * 33 // 2 * 100 + 32
    found = (await budget.get(f"/v1/lines/{line['id']}/position")).json()
    assert found["allotted"] == money("528.32")
    assert len({answer["allotted"]["amount"] for answer in answers}) == 32
    assert await entries_sum(apps, workspace, line) == Amounts(allotted=exact)


async def test_any_entries_leave_the_balance_that_they_sum_to(
    budget: httpx.AsyncClient, apps: dict[str, FastAPI], workspace: Workspace
) -> None:
    line = await open_line(budget)
    story = [
        (EntryKind.ALLOT, Amounts(allotted=1000)), (EntryKind.RESERVE, Amounts(reserved=700)),
        (EntryKind.COMMIT, Amounts(reserved=-600, committed=600)), (EntryKind.RELEASE, Amounts(reserved=-100)),
        (EntryKind.ACTUAL, Amounts(committed=-600, actual=590)), (EntryKind.REVERSE, Amounts(actual=-90)),
    ]  # fmt: skip
    for kind, change in story:
        async with apps["budget"].state.database.tenant(workspace.id) as session:
            await move(session, kind, [Leg(UUID(line["id"]), change)], who="test", now=START)
    found = (await budget.get(f"/v1/lines/{line['id']}/position")).json()
    pots = {pot: found[pot]["amount"] for pot in ("allotted", "reserved", "committed", "actual", "available")}
    assert pots == {
        "allotted": "10.00", "reserved": "0.00", "committed": "0.00", "actual": "5.00", "available": "5.00"
    }  # fmt: skip
    assert await entries_sum(apps, workspace, line) == Amounts(allotted=1000, actual=500)


async def test_a_past_position_is_what_was_recorded_by_then_that_instant_included(
    budget: httpx.AsyncClient, clock: Clock
) -> None:
    line = await open_line(budget)
    await allot(budget, line, "10")
    clock.forward(minutes=30)
    await allot(budget, line, "5")

    async def allotted(moment: datetime) -> str:
        answer = await budget.get(f"/v1/lines/{line['id']}/position", params={"as_of": moment.isoformat()})
        assert answer.status_code == 200, answer.text
        amount: str = answer.json()["allotted"]["amount"]
        return amount

    tick = timedelta(microseconds=1)
    assert await allotted(START - tick) == "0.00"
    assert await allotted(START) == "10.00"
    assert await allotted(clock.now - tick) == "10.00"
    assert await allotted(clock.now) == "15.00"
    assert await allotted(clock.now + timedelta(days=4000)) == "15.00"


async def test_an_instant_without_an_offset_is_refused(budget: httpx.AsyncClient) -> None:
    line = await open_line(budget)
    refused = await budget.get(f"/v1/lines/{line['id']}/position", params={"as_of": "2026-03-01T12:00:00"})
    assert wrong_fields(refused) == ["as_of"]


async def test_an_entry_is_never_recorded_before_the_one_it_follows(budget: httpx.AsyncClient, clock: Clock) -> None:
    line = await open_line(budget)
    clock.forward(minutes=1)
    await allot(budget, line, "10")
    clock.forward(seconds=-30)  # as for a request that began before the last one and got the lock after it
    await allot(budget, line, "5")
    between = await budget.get(f"/v1/lines/{line['id']}/position", params={"as_of": clock.now.isoformat()})
    assert between.json()["allotted"] == money("0.00")


async def test_an_entry_says_who_when_and_why(
    budget: httpx.AsyncClient, apps: dict[str, FastAPI], workspace: Workspace
) -> None:
    line = await open_line(budget)
    asked = {"amount": money("10"), "reason": "Q3 budget"}
    assert (await budget.post(f"/v1/lines/{line['id']}/allot", json=asked)).status_code == 200
    async with apps["budget"].state.database.tenant(workspace.id) as session:
        entry = (await session.execute(text("SELECT * FROM entry"))).one()
    assert (entry.kind, entry.recorded_by, entry.recorded_at, entry.reason) == (
        "allot", "client:test", START, "Q3 budget",
    )  # fmt: skip


@pytest.mark.parametrize("change", ["UPDATE entry SET allotted = 0", "DELETE FROM entry", "TRUNCATE entry"])
async def test_the_database_lets_the_service_neither_change_nor_delete_an_entry(
    budget: httpx.AsyncClient, apps: dict[str, FastAPI], workspace: Workspace, change: str
) -> None:
    await allot(budget, await open_line(budget), "10")
    with pytest.raises(ProgrammingError, match="permission denied"):
        async with apps["budget"].state.database.tenant(workspace.id) as session:
            await session.execute(text(change))


async def test_what_a_child_is_given_comes_out_of_its_parent_and_counts_once(budget: httpx.AsyncClient) -> None:
    parent = await open_line(budget)
    child = await open_line(budget, parent_id=parent["id"])
    await allot(budget, parent, "100")
    given = await allot(budget, child, "60")
    assert (given["allotted"], given["transferred"], given["available"]) == (money("60.00"),) * 3
    left = (await budget.get(f"/v1/lines/{parent['id']}/position")).json()
    assert (left["allotted"], left["transferred"]) == (money("40.00"), money("-60.00"))


async def test_a_line_cannot_promise_more_than_its_parent_holds(budget: httpx.AsyncClient) -> None:
    parent = await open_line(budget)
    child = await open_line(budget, parent_id=parent["id"])
    await allot(budget, parent, "100")
    refused = await budget.post(f"/v1/lines/{child['id']}/allot", json={"amount": money("100.01")})
    assert refused.status_code == 409
    problem = refused.json()
    assert problem["code"] == "does_not_fit"
    assert (problem["available"], problem["asked"], problem["missing"], problem["currency"], problem["line_id"]) == (
        money("100.00"), money("100.01"), money("0.01"), "EUR", parent["id"],
    )  # fmt: skip
    assert (await budget.get(f"/v1/lines/{parent['id']}/position")).json()["available"] == money("100.00")


async def test_a_parent_that_only_warns_promises_more_and_says_so(budget: httpx.AsyncClient) -> None:
    parent = await open_line(budget, policy="warn")
    child = await open_line(budget, parent_id=parent["id"])
    await allot(budget, child, "10")
    assert (await budget.get(f"/v1/lines/{parent['id']}/position")).json()["available"] == money("-10.00")


async def test_an_allotment_is_taken_back_once_with_what_balances_it(
    budget: httpx.AsyncClient, apps: dict[str, FastAPI], workspace: Workspace
) -> None:
    parent = await open_line(budget)
    child = await open_line(budget, parent_id=parent["id"])
    await allot(budget, parent, "100")
    await allot(budget, child, "60")
    (entry,) = (await budget.get("/v1/entries", params={"line_id": child["id"]})).json()["items"]
    assert entry["change"]["transferred"] == money("60.00")
    back = await budget.post(f"/v1/entries/{entry['id']}/reverse", json={"reason": "wrong line"})
    assert back.json()["available"] == money("0.00")
    again = await budget.post(f"/v1/entries/{entry['id']}/reverse", json={"reason": "wrong line"})
    assert (again.status_code, again.json()["code"]) == (409, "reversed")
    assert (await budget.get(f"/v1/lines/{parent['id']}/position")).json()["available"] == money("100.00")
    assert (await budget.get("/v1/ledger-check")).json()["sound"]


async def test_the_check_finds_a_balance_that_is_not_the_sum_of_its_entries(
    budget: httpx.AsyncClient, apps: dict[str, FastAPI], workspace: Workspace
) -> None:
    line = await open_line(budget)
    await allot(budget, line, "10")
    sound = (await budget.get("/v1/ledger-check")).json()
    assert (sound["sound"], sound["lines"], sound["entries"]) == (True, 1, 1)
    async with apps["budget"].state.database.tenant(workspace.id) as session:
        await session.execute(text("UPDATE balance SET reserved = reserved + 1001"))
    found = (await budget.get("/v1/ledger-check")).json()
    assert not found["sound"]
    assert found["wrong_balances"] == found["wrong_holds"] == found["below_zero"] == [line["id"]]


async def test_running_low_is_told_once_when_the_line_is_crossed(
    budget: httpx.AsyncClient, apps: dict[str, FastAPI], workspace: Workspace
) -> None:
    line = await open_line(budget, low_percent=20)
    await allot(budget, line, "100")
    for taken in (7000, 1500, 500):
        async with apps["budget"].state.database.tenant(workspace.id) as session:
            change = Amounts(reserved=taken)
            await move(session, EntryKind.RESERVE, [Leg(UUID(line["id"]), change)], who="test", now=START)
    async with apps["budget"].state.database.tenant(workspace.id) as session:
        told = (await session.scalars(text("SELECT data FROM outbox WHERE type = 'budget.line.low'"))).all()
    assert [each["available"]["amount"] for each in told] == ["15.00"]


async def test_positions_of_many_lines_come_in_the_order_asked_for_each_in_its_currency(
    budget: httpx.AsyncClient,
) -> None:
    euros, yen = await open_line(budget), await open_line(budget, currency="JPY")
    await allot(budget, euros, "10")
    await allot(budget, yen, "7", "JPY")
    asked = {"line_id": [yen["id"], str(uuid4()), euros["id"], yen["id"]]}
    assert (await budget.get("/v1/line-positions", params=asked)).json()["items"] == [
        {"line_id": yen["id"], "position": position("7", "0", "JPY")},
        {"line_id": euros["id"], "position": position("10.00")},
    ]


async def test_a_campaigns_position_is_the_sum_over_its_lines(budget: httpx.AsyncClient) -> None:
    spring, autumn, empty = (str(uuid4()) for _ in range(3))
    root = await open_line(budget, campaign_id=spring)
    child = await open_line(budget, campaign_id=spring, parent_id=root["id"])
    await allot(budget, root, "21")
    await allot(budget, child, "10.50")
    await allot(budget, await open_line(budget, campaign_id=autumn), "1")
    answer = await budget.get("/v1/positions", params={"campaign_id": [empty, spring, autumn]})
    assert answer.json()["items"] == [
        {"campaign_id": empty, "position": position("0.00"), "problem": None},
        {"campaign_id": spring, "position": position("21.00"), "problem": None},
        {"campaign_id": autumn, "position": position("1.00"), "problem": None},
    ]


async def test_a_campaigns_lines_in_other_currencies_are_converted_at_the_last_rate(budget: httpx.AsyncClient) -> None:
    mixed, foreign = (str(uuid4()) for _ in range(2))
    rates = {"csv": "Date,USD,JPY\n2026-06-12,2,160\n2026-06-15,1.25,200"}
    assert (await budget.post("/v1/rates", json=rates)).status_code == 201
    await allot(budget, await open_line(budget, campaign_id=mixed), "10")
    await allot(budget, await open_line(budget, campaign_id=mixed, currency="USD"), "100.01", "USD")
    await allot(budget, await open_line(budget, campaign_id=foreign, currency="JPY"), "1001", "JPY")
    items = (await budget.get("/v1/positions", params={"campaign_id": [mixed, foreign]})).json()["items"]
    assert [item["position"]["allotted"] for item in items] == [money("90.01"), money("5.00")]
    assert [item["position"]["available"] for item in items] == [money("90.01"), money("5.00")]


async def test_a_currency_without_a_rate_costs_the_campaigns_that_it_is_in_and_no_other(
    budget: httpx.AsyncClient,
) -> None:
    mixed, plain = (str(uuid4()) for _ in range(2))
    for campaign, currency in ((mixed, "EUR"), (mixed, "KWD"), (plain, "EUR")):
        await open_line(budget, campaign_id=campaign, currency=currency)
    items = (await budget.get("/v1/positions", params={"campaign_id": [mixed, plain]})).json()["items"]
    assert [item["position"] for item in items] == [None, position("0.00")]
    assert items[0]["problem"]["code"] == "mixed_currencies"
    assert "EUR, KWD" in items[0]["problem"]["detail"]


async def test_a_campaigns_position_is_in_the_currency_that_its_workspace_reports_in(
    connect: Connect, stack: TestStack, apps: dict[str, FastAPI], clock: Clock
) -> None:
    kuwait = connect("budget", await open_workspace(stack, apps, currency="KWD"))
    campaign = str(uuid4())
    await allot(kuwait, await open_line(kuwait, campaign_id=campaign, currency="KWD"), "1.001", "KWD")
    asked = {"campaign_id": [campaign, str(uuid4())]}
    items = (await kuwait.get("/v1/positions", params=asked)).json()["items"]
    assert [item["position"] for item in items] == [
        position("1.001", "0.000", "KWD"), position("0.000", "0.000", "KWD"),
    ]  # fmt: skip


@pytest.mark.parametrize(("path", "key"), [("/v1/positions", "campaign_id"), ("/v1/line-positions", "line_id")])
async def test_a_batch_of_positions_is_one_query_whatever_its_size(
    budget: httpx.AsyncClient, apps: dict[str, FastAPI], path: str, key: str
) -> None:
    await budget.get("/v1/lines")  # the first request of a workspace also asks whether it is known
    with statements(apps["budget"].state.database) as seen:
        answer = await budget.get(path, params={key: [str(uuid4()) for _ in range(200)]})
    assert answer.status_code == 200, answer.text
    assert sum("set_config" not in statement for statement in seen) == 1
    assert len(answer.json()["items"]) == (200 if key == "campaign_id" else 0)


@pytest.mark.parametrize(("path", "key"), [("/v1/positions", "campaign_id"), ("/v1/line-positions", "line_id")])
async def test_a_batch_names_between_one_and_200(budget: httpx.AsyncClient, path: str, key: str) -> None:
    assert wrong_fields(await budget.get(path)) == [key]
    assert wrong_fields(await budget.get(path, params={key: [str(uuid4()) for _ in range(201)]})) == [key]


async def test_another_workspace_learns_nothing_of_our_money_and_cannot_add_to_it(
    budget: httpx.AsyncClient, connect: Connect, other_workspace: Workspace
) -> None:
    campaign = str(uuid4())
    line = await open_line(budget, campaign_id=campaign)
    await allot(budget, line, "10")
    theirs = connect("budget", other_workspace)
    path = f"/v1/lines/{line['id']}"
    assert (await theirs.get(f"{path}/position")).status_code == 404
    assert (await theirs.get(f"{path}/position", params={"as_of": START.isoformat()})).status_code == 404
    assert (await theirs.post(f"{path}/allot", json={"amount": money("1")})).status_code == 404
    assert (await theirs.get("/v1/line-positions", params={"line_id": line["id"]})).json()["items"] == []
    (item,) = (await theirs.get("/v1/positions", params={"campaign_id": campaign})).json()["items"]
    assert item["position"] == position("0.00")
    assert (await budget.get(f"{path}/position")).json()["allotted"] == money("10.00")


async def test_only_who_approves_budgets_may_allot(
    budget: httpx.AsyncClient, connect: Connect, workspace: Workspace
) -> None:
    line = await open_line(budget)
    for role, status in (("stakeholder", 403), ("specialist", 403), ("manager", 200)):
        client = connect("budget", workspace, role)
        answer = await client.post(f"/v1/lines/{line['id']}/allot", json={"amount": money("1")})
        assert answer.status_code == status
