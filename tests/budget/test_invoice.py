"""What invoices promise: counted once, as was ordered, and each difference explained."""

import asyncio
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.testing import Clock
from services.budget.invoice.rules import Bill, InvoiceProblem, Order, drawn, problem_of
from tests.budget.conftest import Person
from tests.budget.test_ledger import allot, money
from tests.budget.test_plan import open_line
from tests.budget.test_request import ask, done, pots, sound

TODAY = "2026-06-15"


@pytest.fixture
async def line(budget: httpx.AsyncClient) -> dict[str, Any]:
    """A `stop` line with 100 euros."""
    line = await open_line(budget, low_percent=0)
    await allot(budget, line, "100")
    return line


async def order(
    person: Person, line: dict[str, Any], amount: str, currency: str = "EUR", **more: Any
) -> dict[str, Any]:
    """A request that is committed."""
    request = await ask(person("ada"), line, amount, currency, **more)
    await done(person("bob"), request, "approve")
    return await done(person("ada"), request, "commit")


async def bring(client: httpx.AsyncClient, line: dict[str, Any], amount: str, **more: Any) -> dict[str, Any]:
    currency = more.pop("currency", "EUR")
    body = {"line_id": line["id"], "number": "1", "amount": money(amount, currency), "date": TODAY, **more}
    created = await client.post("/v1/invoices", json=body)
    assert created.status_code == 201, created.text
    found: dict[str, Any] = created.json()
    return found


async def act(client: httpx.AsyncClient, invoice: dict[str, Any], verb: str, json: Any = None) -> dict[str, Any]:
    answer = await client.post(f"/v1/invoices/{invoice['id']}/{verb}", json=json)
    found: dict[str, Any] = answer.json()
    return found


async def test_an_invoice_turns_its_order_into_spending_once(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    request = await order(person, line, "60", vendor="Studio")
    invoice = await bring(person("ada"), line, "40", request_id=request["id"])
    assert (invoice["state"], invoice["vendor"]) == ("matched", "Studio")
    posted = await asyncio.gather(*(act(person("bob"), invoice, "post") for _ in range(5)))
    assert sorted(each.get("state", each.get("code", "")) for each in posted) == [
        *["not_exception_or_matched_or_received"] * 4, "posted"
    ]  # fmt: skip
    assert await pots(budget, line) == {
        "reserved": "0.00", "committed": "20.00", "actual": "40.00", "available": "40.00"
    }  # fmt: skip
    assert (await budget.get(f"/v1/requests/{request['id']}")).json()["state"] == "part_invoiced"
    rest = await bring(person("ada"), line, "20", request_id=request["id"], number="2")
    await act(person("bob"), rest, "post")
    found = (await budget.get(f"/v1/requests/{request['id']}")).json()
    assert (found["state"], found["invoiced"]) == ("closed", money("60.00"))
    assert (await pots(budget, line))["actual"] == "60.00"
    await sound(budget)


async def test_a_vendors_number_comes_in_once(person: Person, line: dict[str, Any]) -> None:
    await bring(person("ada"), line, "1", vendor="Studio")
    body = {"line_id": line["id"], "number": "1", "amount": money("1"), "date": TODAY, "vendor": "Studio"}
    again = await person("ada").post("/v1/invoices", json=body)
    assert (again.status_code, again.json()["code"]) == (409, "already_exists")
    await bring(person("ada"), line, "1", vendor="Another")


async def test_an_order_and_its_invoice_count_once_though_nobody_connects_them(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    request = await order(person, line, "60", vendor="Studio")
    invoice = await bring(person("ada"), line, "60", vendor="Studio")
    assert (invoice["state"], invoice["request_id"]) == ("matched", request["id"])
    await act(person("bob"), invoice, "post")
    assert await pots(budget, line) == {
        "reserved": "0.00", "committed": "0.00", "actual": "60.00", "available": "40.00"
    }  # fmt: skip


async def test_within_tolerance_it_posts_and_beyond_it_somebody_says_why(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    request = await order(person, line, "60")
    over = await bring(person("ada"), line, "63.01", request_id=request["id"])
    assert (over["state"], over["problem"]) == ("exception", "over_tolerance")
    assert (await act(person("bob"), over, "post"))["state"] == "exception"
    assert (await pots(budget, line))["actual"] == "0.00"
    assert (await act(person("ada"), over, "accept", {"reason": "agreed"}))["code"] == "four_eyes"
    passed = await act(person("bob"), over, "accept", {"reason": "agreed"})
    assert (passed["state"], passed["accepted_by"], passed["reason"]) == ("posted", "bob", "agreed")
    assert (await pots(budget, line))["available"] == "36.99"
    second = await order(person, line, "20")
    within = await bring(person("ada"), line, "21", request_id=second["id"], number="2")
    assert (await act(person("bob"), within, "post"))["state"] == "posted"
    await sound(budget)


async def test_what_is_let_pass_is_one_problem_and_not_what_hid_behind_it(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    request = await order(person, line, "10", vendor="Studio")
    invoice = await bring(person("ada"), line, "90", request_id=request["id"], vendor="Another")
    assert invoice["problem"] == "other_vendor"
    still = await act(person("bob"), invoice, "accept", {"reason": "they were bought"})
    assert (still["state"], still["problem"], still["accepted"]) == ("exception", "over_tolerance", ["other_vendor"])
    assert (await act(person("bob"), invoice, "post"))["problem"] == "over_tolerance"
    assert (await pots(budget, line))["actual"] == "0.00"
    passed = await act(person("cat"), invoice, "accept", {"reason": "and cost more"})
    assert (passed["state"], passed["accepted"]) == ("posted", ["other_vendor", "over_tolerance"])


async def test_three_ways_no_more_is_paid_than_has_arrived(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    settled = await budget.patch(
        "/v1/spending-policy", headers={"If-Match": "*"}, json={"matching": "three_way", "tolerance_percent": "0"}
    )
    assert settled.status_code == 200, settled.text
    request = await order(person, line, "60")
    invoice = await bring(person("ada"), line, "40", request_id=request["id"])
    assert invoice["problem"] == "not_received"
    await done(person("ada"), request, "receive", {"amount": money("40")})
    assert (await act(person("bob"), invoice, "post"))["state"] == "posted"


async def test_what_a_stop_line_does_not_have_is_an_exception_with_ways_out(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    invoice = await bring(person("ada"), line, "100.01")
    found = await act(person("bob"), invoice, "post")
    assert (found["state"], found["problem"]) == ("exception", "does_not_fit")
    assert (await act(person("bob"), invoice, "accept", {"reason": "please"}))["code"] == "not_acceptable"
    assert (await pots(budget, line))["available"] == "100.00"
    other = await open_line(budget, policy="warn")
    assert (await act(person("ada"), invoice, "rebook", {"line_id": other["id"]}))["state"] == "received"
    assert (await act(person("bob"), invoice, "post"))["state"] == "posted"
    assert (await pots(budget, other))["available"] == "-100.01"
    second = await bring(person("ada"), line, "100.01", number="2")
    assert (await act(person("bob"), second, "reject", {"reason": "not ours"}))["state"] == "rejected"
    await sound(budget)


async def test_what_exchange_rates_change_is_an_entry_of_its_own(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    await budget.post("/v1/rates", json={"csv": "Date,USD\n2026-06-10,1\n2026-06-15,1.25"})
    request = await order(person, line, "100", "USD")
    assert (await pots(budget, line))["committed"] == "80.00"
    early = await bring(person("ada"), line, "50", currency="USD", date="2026-06-10", request_id=request["id"])
    assert (await act(person("bob"), early, "post"))["state"] == "posted"
    position = (await budget.get(f"/v1/lines/{line['id']}/position")).json()
    assert (position["actual"], position["committed"], position["fx"]) == (
        money("50.00"), money("40.00"), money("10.00"),
    )  # fmt: skip
    kinds = [each["kind"] for each in (await budget.get("/v1/entries", params={"line_id": line["id"]})).json()["items"]]
    assert kinds == ["allot", "reserve", "commit", "revalue", "actual"]
    await sound(budget)


async def test_a_rate_that_takes_more_than_a_line_has_is_paid_by_the_reserve(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    await budget.post("/v1/rates", json={"csv": "Date,USD\n2026-06-10,1\n2026-06-15,1.25"})
    request = await order(person, line, "125", "USD")
    invoice = await bring(person("ada"), line, "125", currency="USD", date="2026-06-10", request_id=request["id"])
    assert (await act(person("bob"), invoice, "post"))["problem"] == "does_not_fit"
    assert (await pots(budget, line))["committed"] == "100.00"
    reserve = await open_line(budget, name="Currency reserve")
    await allot(budget, reserve, "30")
    policy: Any = {"headers": {"If-Match": "*"}, "json": {"reserve_line_id": reserve["id"]}}
    assert (await budget.patch("/v1/spending-policy", **policy)).status_code == 200
    assert (await act(person("bob"), invoice, "post"))["state"] == "posted"
    assert (await pots(budget, line)) == {
        "reserved": "0.00", "committed": "0.00", "actual": "125.00", "available": "0.00"
    }  # fmt: skip
    assert (await pots(budget, reserve))["available"] == "5.00"
    await sound(budget)


async def test_a_reversal_leaves_what_was_there_before_and_the_order_open(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any], clock: Clock
) -> None:
    request = await order(person, line, "60")
    before = await pots(budget, line)
    invoice = await bring(person("ada"), line, "60", request_id=request["id"])
    await act(person("bob"), invoice, "post")
    assert (await budget.get(f"/v1/requests/{request['id']}")).json()["state"] == "closed"
    assert (await act(person("bob"), invoice, "reverse", {"reason": "paid twice"}))["state"] == "reversed"
    assert await pots(budget, line) == before
    found = (await budget.get(f"/v1/requests/{request['id']}")).json()
    assert (found["state"], found["invoiced"]) == ("committed", money("0.00"))
    assert (await act(person("bob"), invoice, "reverse", {"reason": "again"}))["code"] == "not_posted"
    await sound(budget)


async def test_an_invoice_takes_what_is_held_for_all_items_of_its_line(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    items = [
        {"line_id": line["id"], "amount": money("50"), "period": {"start": start, "end": end}}
        for start, end in (("2026-06-01", "2026-07-01"), ("2026-07-01", "2026-08-01"))
    ]
    request = await order(person, line, "100", items=items)
    invoice = await bring(person("ada"), line, "100", request_id=request["id"])
    assert (await act(person("bob"), invoice, "post"))["state"] == "posted"
    assert await pots(budget, line) == {
        "reserved": "0.00", "committed": "0.00", "actual": "100.00", "available": "0.00"
    }  # fmt: skip
    await sound(budget)


async def test_one_invoice_of_an_order_over_several_lines_takes_what_each_has_promised_and_gives_it_back(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    await budget.post("/v1/rates", json={"csv": "Date,USD\n2026-06-15,2"})
    dollars = await open_line(budget, low_percent=0, currency="USD")
    await allot(budget, dollars, "100", "USD")
    items = [{"line_id": line["id"], "amount": money("100")}, {"line_id": dollars["id"], "amount": money("50")}]
    request = await order(person, line, "150", items=items)
    held = [await pots(budget, each) for each in (line, dollars)]
    # A little more than its line's part is its line's own, and here it has nothing left.
    little = await bring(person("ada"), line, "105", request_id=request["id"])
    assert (await act(person("bob"), little, "post"))["problem"] == "does_not_fit"
    await act(person("bob"), little, "reject", {"reason": "send it anew"})
    invoice = await bring(person("ada"), line, "150", request_id=request["id"], number="2")
    assert (await act(person("bob"), invoice, "post"))["state"] == "posted"
    for each in (line, dollars):
        assert await pots(budget, each) == {
            "reserved": "0.00", "committed": "0.00", "actual": "100.00", "available": "0.00"
        }  # fmt: skip
    assert (await budget.get(f"/v1/requests/{request['id']}")).json()["state"] == "closed"
    await act(person("bob"), invoice, "reverse", {"reason": "paid twice"})
    assert [await pots(budget, each) for each in (line, dollars)] == held
    assert (await budget.get(f"/v1/requests/{request['id']}")).json()["state"] == "committed"
    await sound(budget)


async def test_a_vendor_is_the_same_however_it_is_spelled(person: Person, line: dict[str, Any]) -> None:
    request = await order(person, line, "60", vendor="Studio")
    assert (await bring(person("ada"), line, "60", vendor="STUDIO"))["request_id"] == request["id"]


async def test_of_what_was_not_bought_in_the_end_nothing_was_bought_for_less(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    request = await order(person, line, "60")
    invoice = await bring(person("ada"), line, "40", request_id=request["id"])
    await act(person("bob"), invoice, "post")
    await done(person("bob"), request, "close")
    path = f"/v1/lines/{line['id']}/position"
    assert (await budget.get(path)).json()["price"] == money("-20.00")
    await act(person("bob"), invoice, "reverse", {"reason": "sent back"})
    assert (await budget.get(path)).json()["price"] == money("0.00")
    found = (await budget.get(f"/v1/requests/{request['id']}")).json()
    assert (found["state"], found["invoiced"]) == ("closed", money("0.00"))
    await sound(budget)


async def test_an_invoice_can_be_taken_off_an_order_that_is_over(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    request = await order(person, line, "60", vendor="Studio")
    invoice = await bring(person("ada"), line, "60", request_id=request["id"])
    await done(person("bob"), request, "void", {"reason": "too late"})
    assert (await act(person("bob"), invoice, "post"))["problem"] == "not_ordered"
    assert (await act(person("ada"), invoice, "rebook", {"date": TODAY}))["problem"] == "not_ordered"
    assert (await act(person("ada"), invoice, "rebook", {"request_id": None}))["state"] == "received"
    assert (await act(person("bob"), invoice, "post"))["state"] == "posted"
    assert (await pots(budget, line))["actual"] == "60.00"


minors = st.integers(1, 10**6)


@given(minors, st.integers(0, 10**6), st.lists(st.integers(0, 10**6), max_size=4), st.integers(0, 10**5))
def test_what_is_drawn_is_the_invoice_and_no_other_line_gives_more_than_it_has(
    minor: int, own: int, others: list[int], slack: int
) -> None:
    first, *parts = drawn(minor, own, others, slack)
    assert first + sum(parts) == minor
    assert all(0 <= part <= left for part, left in zip(parts, others, strict=True))
    # Its own line's promise goes first, and more than that only within its slack or when nothing else is left.
    assert first >= min(minor, own)
    assert first <= own + slack or parts == others


@given(minors, minors, minors, minors, st.none() | minors)
def test_what_matches_never_takes_an_order_beyond_its_tolerance(
    minor: int, ordered: int, tolerance: int, invoiced: int, received: int | None
) -> None:
    bill = Bill("Studio", "EUR", minor, None)  # type: ignore[arg-type]
    found = Order("studio", "EUR", True, True, ordered + tolerance, invoiced, received, tolerance)
    problem = problem_of(bill, found)
    if problem is None:
        assert invoiced + minor <= ordered + tolerance
        assert received is None or invoiced + minor <= received + tolerance
    else:
        assert problem in (InvoiceProblem.OVER_TOLERANCE, InvoiceProblem.NOT_RECEIVED)
