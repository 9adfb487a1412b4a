"""What a contract promises."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from chassis.inbox import Incoming
from chassis.testing import Clock, TestStack
from services.budget.contract.actions import follow_due_contracts
from services.budget.request.actions import release_campaign
from tests.budget.software import CONTRACT, VENDOR, funded, made, seated, signed, told_of
from tests.budget.test_plan import LINE, wrong_fields
from tests.parts import Connect, Workspace

Json = dict[str, Any]


@pytest.fixture
def budget(connect: Connect, workspace: Workspace) -> httpx.AsyncClient:
    """As everywhere, with a token that outlasts a contract's terms."""
    client = connect("budget", workspace)
    client.headers["Authorization"] = f"Bearer {workspace.token('admin', lifetime=timedelta(days=2000))}"
    return client


async def read(budget: httpx.AsyncClient, contract: Json) -> Json:
    answer = await budget.get(f"/v1/contracts/{contract['id']}")
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def at(moment: str, clock: Clock, apps: dict[str, FastAPI]) -> None:
    clock.now = datetime.fromisoformat(moment)
    await follow_due_contracts(apps["budget"])


async def decide(budget: httpx.AsyncClient, contract: Json, verb: str, **more: Any) -> httpx.Response:
    return await budget.post(f"/v1/contracts/{contract['id']}/{verb}", json={"reason": "as planned", **more})


async def edit(budget: httpx.AsyncClient, contract: Json, **changes: Any) -> httpx.Response:
    headers = {"If-Match": str((await read(budget, contract))["version"])}
    return await budget.patch(f"/v1/contracts/{contract['id']}", json=changes, headers=headers)


async def money(budget: httpx.AsyncClient, line: Json) -> tuple[str, str]:
    """What is reserved on a line, and what is available."""
    found = (await budget.get(f"/v1/lines/{line['id']}/position")).json()
    return found["reserved"]["amount"], found["available"]["amount"]


async def test_a_contract_is_kept_as_it_was_sent_with_what_follows_from_its_terms(budget: httpx.AsyncClient) -> None:
    contract = await signed(budget, campaign_id=str(uuid4()))
    cost = {"amount": "1200.00", "currency": "EUR"}
    assert contract.items() >= (CONTRACT | {"cost": cost, "state": "active"}).items()
    assert (contract["window_opens"], contract["notice_deadline"]) == ("2026-09-01", "2026-10-01")
    assert await read(budget, contract) == contract


async def test_dates_move_a_contract_at_midnight_in_the_workspaces_zone(
    budget: httpx.AsyncClient, apps: dict[str, FastAPI], clock: Clock, stack: TestStack
) -> None:
    contract = await signed(budget)
    # The workspace's midnights: 22:00 UTC in summer, 23:00 in winter.
    for moment, state, missed in (
        ("2026-08-31T21:59:59+00:00", "active", False),
        ("2026-08-31T22:00:00+00:00", "notice_window", False),
        ("2026-09-30T21:59:59+00:00", "notice_window", False),
        ("2026-09-30T22:00:00+00:00", "renewed", True),
        ("2026-12-31T22:59:59+00:00", "renewed", True),
        ("2026-12-31T23:00:00+00:00", "active", False),
    ):
        await at(moment, clock, apps)
        found = await read(budget, contract)
        assert (found["state"], found["missed_at"] is not None) == (state, missed), moment
    assert found["term"] == {"start": "2027-01-01", "end": "2028-01-01"}
    assert found["notice_deadline"] == "2027-10-01"
    told = await told_of(stack, contract["id"])
    assert [kind for kind, _ in told] == ["notice_window_opened", "notice_deadline_missed", "renewed"]
    assert told[1][1]["renews"] is True
    assert told[2][1]["by_default"] is True


async def test_a_contract_that_does_not_renew_by_itself_lapses_at_its_end(
    budget: httpx.AsyncClient, apps: dict[str, FastAPI], clock: Clock, stack: TestStack
) -> None:
    line = await funded(budget, "5000")
    contract = await signed(budget, auto_renews=False, line_id=line["id"])
    await at("2026-12-31T22:59:59+00:00", clock, apps)
    assert (await read(budget, contract))["state"] == "notice_window"
    assert await money(budget, line) == ("1200.00", "3800.00")
    await at("2026-12-31T23:00:00+00:00", clock, apps)
    assert (await read(budget, contract))["state"] == "lapsed"
    assert await money(budget, line) == ("0.00", "5000.00")
    kinds = [kind for kind, _ in await told_of(stack, contract["id"])]
    assert kinds == ["notice_window_opened", "notice_deadline_missed", "lapsed"]
    seat = {"contract_id": contract["id"], "address": "ann@example.com", "department": "brand"}
    for refused in (await edit(budget, contract, name="Other"), await budget.post("/v1/seats", json=seat)):
        assert (refused.status_code, refused.json()["code"]) == (409, "over")


async def test_effects_happen_once_across_replicas_and_what_was_missed_is_made_up_for(
    budget: httpx.AsyncClient, apps: dict[str, FastAPI], clock: Clock, stack: TestStack
) -> None:
    contract = await signed(budget)
    clock.forward(days=800)
    await asyncio.gather(*(follow_due_contracts(apps["budget"]) for _ in range(3)))
    found = await read(budget, contract)
    assert (found["state"], found["term"]["start"]) == ("active", "2028-01-01")
    kinds = [kind for kind, _ in await told_of(stack, contract["id"])]
    assert kinds == 2 * ["notice_window_opened", "notice_deadline_missed", "renewed"]


async def test_an_undecided_renewal_reserves_its_cost_and_a_decision_releases_it(
    budget: httpx.AsyncClient, apps: dict[str, FastAPI], clock: Clock
) -> None:
    line = await funded(budget, "2000")
    contract = await signed(budget, line_id=line["id"], renewal_cost={"amount": "1300", "currency": "EUR"})
    assert await money(budget, line) == ("0.00", "2000.00")
    await at("2026-09-01T10:00:00+00:00", clock, apps)
    assert await money(budget, line) == ("1300.00", "700.00")
    assert (await read(budget, contract))["reserved"]["amount"] == "1300.00"
    # Again, it changes nothing.
    await at("2026-09-02T10:00:00+00:00", clock, apps)
    assert await money(budget, line) == ("1300.00", "700.00")
    renewed = (await decide(budget, contract, "renew")).json()
    assert (renewed["state"], renewed["next_cost"]["amount"], renewed["reserved"]["amount"]) == (
        "renewed", "1300.00", "0.00",
    )  # fmt: skip
    assert await money(budget, line) == ("0.00", "2000.00")
    await at("2027-01-01T10:00:00+00:00", clock, apps)
    assert (await read(budget, contract))["cost"]["amount"] == "1300.00"


async def test_a_cancelled_campaign_lets_go_of_what_its_line_held_for_a_renewal_and_the_contract_says_so(
    budget: httpx.AsyncClient, apps: dict[str, FastAPI], clock: Clock, workspace: Workspace
) -> None:
    campaign = uuid4()
    line = await funded(budget, "2000", campaign_id=str(campaign))
    contract = await signed(budget, line_id=line["id"])
    await at("2026-09-01T10:00:00+00:00", clock, apps)
    assert (await read(budget, contract))["reserved"]["amount"] == "1200.00"
    event = Incoming(
        id=uuid4(), source="/goals", type="goals.campaign.cancelled", subject=str(campaign), time=clock.now,
        workspaceid=workspace.id, data={"campaign_id": str(campaign), "reason": "recalled"},
    )  # fmt: skip
    async with apps["budget"].state.database.tenant(workspace.id) as session:
        await release_campaign(session, event)
    assert await money(budget, line) == ("0.00", "2000.00")
    assert (await read(budget, contract))["reserved"]["amount"] == "0.00"
    assert (await decide(budget, contract, "renew")).status_code == 200
    assert await money(budget, line) == ("0.00", "2000.00")


async def test_a_settled_renewal_is_expected_until_its_term_begins(
    budget: httpx.AsyncClient, apps: dict[str, FastAPI], clock: Clock
) -> None:
    line = await funded(budget, "9000", period={"start": "2026-01-01", "end": "2028-01-01"})
    ended = await funded(budget, "9000", period={"start": "2026-01-01", "end": "2027-01-01"})
    contract = await signed(budget, line_id=line["id"])
    beyond = await signed(budget, line_id=ended["id"])

    async def expected(of: Json = line, **asked: Any) -> str:
        found = (await budget.get(f"/v1/lines/{of['id']}/forecast", params=asked)).json()["forecast"]["expected"]
        return str(found["amount"])

    await at("2026-09-01T10:00:00+00:00", clock, apps)
    assert await expected() == await expected(ended) == "1200.00"  # what is undecided is reserved
    clock.forward(hours=1)
    for each in (contract, beyond):
        await decide(budget, each, "renegotiate", cost={"amount": "1500", "currency": "EUR"})
    assert (await expected(), await expected(ended)) == ("1500.00", "0.00")
    assert await expected(as_of="2026-09-01T10:30:00Z") == "1200.00"
    clock.forward(hours=1)
    await decide(budget, contract, "terminate")
    assert (await expected(), await expected(as_of="2026-09-01T11:30:00Z")) == ("0.00", "1500.00")
    await decide(budget, contract, "renew")
    assert await expected() == "1200.00"
    await at("2027-01-01T10:00:00+00:00", clock, apps)
    assert await expected() == "0.00"


async def test_a_renewal_that_does_not_fit_a_line_that_stops_is_flagged_and_tried_again_each_day(
    budget: httpx.AsyncClient, apps: dict[str, FastAPI], clock: Clock
) -> None:
    line = await funded(budget, "1000")
    contract = await signed(budget, line_id=line["id"])
    await at("2026-09-01T10:00:00+00:00", clock, apps)
    found = await read(budget, contract)
    assert (found["state"], found["short"]["amount"], found["reserved"]["amount"]) == (
        "notice_window",
        "200.00",
        "0.00",
    )
    assert await money(budget, line) == ("0.00", "1000.00")
    await made(budget, f"/v1/lines/{line['id']}/allot", {"amount": {"amount": "200", "currency": "EUR"}})
    await at("2026-09-02T10:00:00+00:00", clock, apps)
    assert (await read(budget, contract))["short"] is None
    assert await money(budget, line) == ("1200.00", "0.00")


async def test_a_line_that_warns_holds_it_all_the_same(
    budget: httpx.AsyncClient, apps: dict[str, FastAPI], clock: Clock
) -> None:
    line = await funded(budget, "1000", policy="warn")
    await signed(budget, line_id=line["id"])
    await at("2026-09-01T10:00:00+00:00", clock, apps)
    assert await money(budget, line) == ("1200.00", "-200.00")


async def test_what_is_reserved_follows_an_edit(
    budget: httpx.AsyncClient, apps: dict[str, FastAPI], clock: Clock
) -> None:
    first, second = await funded(budget, "2000"), await funded(budget, "2000")
    contract = await signed(budget, line_id=first["id"])
    await at("2026-09-01T10:00:00+00:00", clock, apps)
    assert (await edit(budget, contract, line_id=second["id"])).status_code == 200
    assert [await money(budget, each) for each in (first, second)] == [("0.00", "2000.00"), ("1200.00", "800.00")]
    await edit(budget, contract, cost={"amount": "900", "currency": "EUR"})
    assert await money(budget, second) == ("900.00", "1100.00")
    # The window isn't open yet, as it turns out.
    back = await edit(budget, contract, lead_days=0)
    assert back.json()["state"] == "active"
    assert await money(budget, second) == ("0.00", "2000.00")


async def test_a_renewal_by_default_is_held_until_somebody_confirms_it(
    budget: httpx.AsyncClient, apps: dict[str, FastAPI], clock: Clock
) -> None:
    line = await funded(budget, "2000")
    contract = await signed(budget, line_id=line["id"])
    await at("2026-10-01T10:00:00+00:00", clock, apps)
    found = await read(budget, contract)
    assert (found["state"], found["by_default"], found["decided_by"]) == ("renewed", True, "system:budget")
    assert await money(budget, line) == ("1200.00", "800.00")
    late = await decide(budget, contract, "terminate")
    assert (late.status_code, late.json()["code"]) == (409, "deadline_missed")
    assert (await decide(budget, contract, "renew")).json()["by_default"] is False
    assert await money(budget, line) == ("0.00", "2000.00")
    again = await decide(budget, contract, "renegotiate", cost={"amount": "1", "currency": "EUR"})
    assert (again.status_code, again.json()["code"]) == (409, "decided")


async def test_a_terminated_contract_ends_with_its_term(
    budget: httpx.AsyncClient, apps: dict[str, FastAPI], clock: Clock, stack: TestStack
) -> None:
    contract = await signed(budget)
    assert (await decide(budget, contract, "terminate")).json()["state"] == "terminated"
    await at("2027-06-01T10:00:00+00:00", clock, apps)
    found = await read(budget, contract)
    assert (found["state"], found["term"]["end"], found["missed_at"]) == ("terminated", "2027-01-01", None)
    assert await told_of(stack, contract["id"]) == [
        ("terminated", {"contract_id": contract["id"], "ends_on": "2027-01-01", "reason": "as planned"})
    ]


async def test_a_renegotiated_contract_turns_at_its_new_cost_and_seats(
    budget: httpx.AsyncClient, apps: dict[str, FastAPI], clock: Clock
) -> None:
    contract = await signed(budget)
    cost = {"amount": "600.00", "currency": "EUR"}
    assert (await decide(budget, contract, "renegotiate", cost=cost, seat_count=2)).status_code == 200
    assert wrong_fields(await decide(budget, contract, "renegotiate", cost=cost | {"currency": "USD"})) == [
        "cost.currency"
    ]
    refused = await edit(budget, contract, lead_days=5)
    assert (refused.status_code, refused.json()["code"]) == (409, "decided")
    assert (await edit(budget, contract, name="Mail")).status_code == 200
    await at("2027-01-01T10:00:00+00:00", clock, apps)
    found = await read(budget, contract)
    assert (found["state"], found["cost"], found["seat_count"]) == ("active", cost, 2)


async def test_decisions_say_who_why_and_what_was_wasted_then(
    budget: httpx.AsyncClient, connect: Connect, workspace: Workspace
) -> None:
    contract = await signed(budget)
    await seated(budget, contract, "ann", "content")
    assert (await decide(connect("budget", workspace, "specialist"), contract, "renew")).status_code == 403
    await decide(budget, contract, "renew")
    await decide(budget, contract, "terminate")
    listed = (await budget.get("/v1/contract-decisions", params={"contract_id": contract["id"]})).json()["items"]
    assert [(each["kind"], each["decided_by"], each["reason"]) for each in listed] == [
        ("renew", "client:test", "as planned"), ("terminate", "client:test", "as planned"),
    ]  # fmt: skip
    assert [each["next_cost"] and each["next_cost"]["amount"] for each in listed] == ["1200.00", None]
    assert (listed[0]["idle_seats"], listed[0]["wasted"]["amount"]) == (3, "75.00")


async def test_deadlines_are_a_calendar(budget: httpx.AsyncClient) -> None:
    late, early = await signed(budget), await signed(budget, notice={"count": 4, "unit": "months"})
    await signed(budget, notice={"count": 10, "unit": "days"})

    async def found(**params: str) -> list[str]:
        answer = await budget.get("/v1/contracts", params={"sort": "notice_deadline", **params})
        assert answer.status_code == 200, answer.text
        return [each["id"] for each in answer.json()["items"]]

    assert await found(notice_deadline_from="2026-09-01", notice_deadline_to="2026-10-02") == [early["id"], late["id"]]
    assert await found(notice_deadline_from="2026-09-02", notice_deadline_to="2026-10-01") == []


async def test_tools_of_one_category_from_several_vendors_overlap(budget: httpx.AsyncClient) -> None:
    first, second = await signed(budget), await signed(budget, "Other", department="brand")
    await signed(budget, "Acme", category="design")
    await signed(budget, "Acme", category="design")
    third = await signed(budget, "Third", category="chat")
    fourth = await signed(budget, "Other", category="chat")
    page = (await budget.get("/v1/overlaps", params={"limit": 1})).json()
    assert page["items"][0]["category"] == "chat"
    rest = (await budget.get("/v1/overlaps", params={"limit": 1, "cursor": page["next_cursor"]})).json()
    assert rest["items"] == [
        {
            "category": "email-delivery", "vendor_ids": sorted([first["vendor_id"], second["vendor_id"]]),
            "contract_ids": [first["id"], second["id"]], "departments": ["brand", "operations"],
        }
    ]  # fmt: skip
    assert rest["next_cursor"] is None
    assert page["items"][0]["contract_ids"] == [third["id"], fourth["id"]]
    await decide(budget, third, "terminate")
    categories = [each["category"] for each in (await budget.get("/v1/overlaps")).json()["items"]]
    assert categories == ["email-delivery"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"vendor_id": str(uuid4())}, "vendor_id"),
        ({"line_id": str(uuid4())}, "line_id"),
        ({"cost": {"amount": "-1", "currency": "EUR"}}, "cost.amount"),
        ({"cost": {"amount": "99999999999999", "currency": "EUR"}}, "cost.amount"),
        ({"renewal_cost": {"amount": "1", "currency": "USD"}}, "renewal_cost.currency"),
        ({"term": {"start": "2025-01-01", "end": "2026-06-15"}}, "term.end"),
        ({"notice": {"count": 13, "unit": "months"}}, "notice"),
        ({"notice": {"count": -1, "unit": "days"}}, "notice.count"),
        ({"category": "E-Mail"}, "category"),
        ({"seat_count": 0}, "seat_count"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_contract_that_makes_no_sense_is_refused_by_its_field(
    budget: httpx.AsyncClient, changes: Json, field: str
) -> None:
    vendor = await made(budget, "/v1/vendors", VENDOR)
    row = CONTRACT | {"vendor_id": vendor["id"]} | changes
    assert wrong_fields(await budget.post("/v1/contracts", json=row)) == [field]


async def test_a_contract_is_paid_by_a_line_of_its_currency(budget: httpx.AsyncClient) -> None:
    line = await made(budget, "/v1/lines", LINE | {"currency": "USD"})
    vendor = await made(budget, "/v1/vendors", VENDOR)
    row = CONTRACT | {"vendor_id": vendor["id"], "line_id": line["id"]}
    assert wrong_fields(await budget.post("/v1/contracts", json=row)) == ["cost.currency"]
