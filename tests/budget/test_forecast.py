"""What forecasts promise."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from chassis.testing import START, Clock, statements
from tests.budget.conftest import Person
from tests.budget.test_invoice import act, bring, order
from tests.budget.test_ledger import allot, money
from tests.budget.test_plan import open_line
from tests.budget.test_request import ask, done, sound
from tests.budget.test_revaluation import rates

EARLIER = {"as_of": START.isoformat()}
CAUSES = ("price", "volume", "timing", "currency")


async def forecast(budget: httpx.AsyncClient, line: dict[str, Any], **asked: Any) -> dict[str, Any]:
    answer = await budget.get(f"/v1/lines/{line['id']}/forecast", params=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["forecast"]
    assert sum(Decimal(found["variance"][cause]["amount"]) for cause in CAUSES) == Decimal(
        found["variance"]["total"]["amount"]
    )
    return found


def told(forecast: dict[str, Any], *names: str) -> dict[str, str]:
    return {name: forecast[name]["amount"] for name in names}


async def spend(person: Person, line: dict[str, Any], amount: str, **more: Any) -> None:
    invoice = await bring(person("ada"), line, amount, number=str(uuid4()), **more)
    assert (await act(person("bob"), invoice, "post"))["state"] == "posted"


@pytest.fixture
async def line(budget: httpx.AsyncClient, person: Person, clock: Clock) -> dict[str, Any]:
    """A year with 100 euros a day, of which something has become everything that it can."""
    line = await open_line(budget, low_percent=0)
    await allot(budget, line, "36500")
    clock.forward(hours=1)
    await rates(budget, "2026-06-15", "1")
    dearer = await order(person, line, "100")
    foreign = await order(person, line, "200", "USD")
    await rates(budget, "2026-06-15", "0.8")
    await spend(person, line, "104", request_id=dearer["id"])
    await spend(person, line, "200", currency="USD", request_id=foreign["id"])
    await order(person, line, "300")
    await done(person("bob"), await ask(person("ada"), line, "400"), "approve")
    await ask(person("ada"), line, "500")
    await ask(person("ada"), line, "80", "USD")
    return line


async def test_a_line_is_foreseen_with_the_causes_of_its_variance(
    budget: httpx.AsyncClient, line: dict[str, Any]
) -> None:
    found = await forecast(budget, line)
    assert told(found, "planned", "planned_to_date", "actual", "committed", "expected", "optional") == {
        "planned": "36500.00", "planned_to_date": "16600.00", "actual": "354.00", "committed": "300.00",
        "expected": "400.00", "optional": "600.00",
    }  # fmt: skip
    # 354 in 90 days, and 199 are left: 782.73 more.
    assert told(found["run_rate"], "spent", "at_end") == {"spent": "354.00", "at_end": "1136.73"}
    assert told(found, "at_end", "over") == {"at_end": "1136.73", "over": "-35363.27"}
    assert told(found["variance"], "total", *CAUSES) == {
        "total": "-16246.00", "price": "4.00", "currency": "50.00", "volume": "-35417.27", "timing": "19117.27"
    }  # fmt: skip
    await sound(budget)


async def test_it_is_foreseen_as_it_looked_at_any_instant(
    budget: httpx.AsyncClient, person: Person, clock: Clock, line: dict[str, Any]
) -> None:
    then, before = clock.now, await forecast(budget, line)
    clock.forward(minutes=5)
    for request in (await budget.get("/v1/requests?state=submitted")).json()["items"]:
        await done(person("bob"), request, "reject", {"reason": "no"})
    await spend(person, line, "1000", date="2026-06-10")
    assert told(await forecast(budget, line), "actual", "optional") == {"actual": "1354.00", "optional": "0.00"}
    assert await forecast(budget, line, as_of=then.isoformat()) == before
    blank = await forecast(budget, line, **EARLIER)
    assert told(blank, "planned", "actual", "optional", "at_end") == {
        "planned": "36500.00", "actual": "0.00", "optional": "0.00", "at_end": "0.00"
    }  # fmt: skip
    assert told(await forecast(budget, line, as_of=(START - timedelta(days=1)).isoformat()), "planned") == {
        "planned": "0.00"
    }


async def test_what_an_order_leaves_when_it_is_closed_is_cheaper_and_taken_back_it_is_not(
    budget: httpx.AsyncClient, person: Person
) -> None:
    line = await open_line(budget, low_percent=0)
    await allot(budget, line, "1000")
    first, second = [await order(person, line, amount) for amount in ("100", "50")]
    await spend(person, line, "80", request_id=first["id"])
    await done(person("bob"), first, "close")
    await done(person("bob"), second, "close")  # nothing came of it: that is less bought, and no price
    assert (await forecast(budget, line))["variance"]["price"] == money("-20.00")
    dearer = await order(person, line, "100")
    await spend(person, line, "105", request_id=dearer["id"])
    assert (await forecast(budget, line))["variance"]["price"] == money("-15.00")
    (posted,) = (await budget.get(f"/v1/invoices?request_id={dearer['id']}")).json()["items"]
    await act(person("bob"), posted, "reverse", {"reason": "wrong"})
    assert (await forecast(budget, line))["variance"]["price"] == money("-20.00")
    await sound(budget)


async def test_a_line_with_all_below_it_is_their_sum_in_one_read_of_many(
    budget: httpx.AsyncClient, person: Person, apps: dict[str, FastAPI]
) -> None:
    year = await open_line(budget, low_percent=0)
    await allot(budget, year, "1000")
    spring = await open_line(budget, parent_id=year["id"], low_percent=0)
    await allot(budget, spring, "400")
    mail = await open_line(budget, parent_id=spring["id"], low_percent=0)
    await allot(budget, mail, "100")
    await spend(person, mail, "30")
    await spend(person, year, "5")
    assert told(await forecast(budget, year), "planned", "actual") == {"planned": "600.00", "actual": "5.00"}
    assert told(await forecast(budget, year, below=True), "planned", "actual") == {
        "planned": "1000.00", "actual": "35.00"
    }  # fmt: skip
    ids = [mail["id"], str(uuid4()), year["id"], spring["id"]]
    with statements(apps["budget"].state.database) as seen:
        answer = await budget.get("/v1/line-forecasts", params={"line_id": ids, "below": True})
    assert len(seen) == 2
    found = [(each["line_id"], each["lines"], each["forecast"]["planned"]["amount"]) for each in answer.json()["items"]]
    assert found == [(mail["id"], 1, "100.00"), (year["id"], 3, "1000.00"), (spring["id"], 2, "400.00")]
    assert (await budget.get(f"/v1/lines/{uuid4()}/forecast")).status_code == 404


async def test_a_plan_is_the_sum_of_its_departments_in_the_reporting_currency(
    budget: httpx.AsyncClient, person: Person
) -> None:
    await rates(budget, "2026-06-15", "3")
    for department, currency, amount in (("brand", "USD", "100"), ("brand", "EUR", "50"), ("content", "USD", "0.50")):
        line = await open_line(budget, department=department, currency=currency, low_percent=0)
        await allot(budget, line, amount, currency)
        await spend(person, line, "0.10", currency=currency)
        await ask(person("ada"), line, "1")
    await open_line(budget, period={"start": "2027-01-01", "end": "2028-01-01"})
    plan = (await budget.get("/v1/plan-forecast")).json()
    assert (plan["day"], plan["lines"]) == ("2026-06-15", 3)
    brand, content = plan["departments"]
    assert (brand["department"], brand["lines"], content["department"]) == ("brand", 2, "content")
    assert brand["forecast"]["planned"] == money("83.33")
    for name in ("planned", "planned_to_date", "actual", "optional", "at_end", "over"):
        parts = [Decimal(each["forecast"][name]["amount"]) for each in (brand, content)]
        assert sum(parts) == Decimal(plan["forecast"][name]["amount"])
    variance = {name: Decimal(each["amount"]) for name, each in plan["forecast"]["variance"].items()}
    spent, planned = (Decimal(plan["forecast"][name]["amount"]) for name in ("actual", "planned_to_date"))
    assert variance["total"] == spent - planned == sum(variance[cause] for cause in CAUSES)
    one = (await budget.get("/v1/plan-forecast?department=content")).json()
    assert one["departments"] == [content]
    await open_line(budget, currency="XAU")
    refused = await budget.get("/v1/plan-forecast")
    assert (refused.status_code, refused.json()["code"]) == (409, "no_rate")
    assert (await budget.get("/v1/plan-forecast", params={"as_of": "1990-01-01T00:00:00Z"})).json()["lines"] == 0


async def test_a_forecast_is_told_of_any_instant(budget: httpx.AsyncClient) -> None:
    line = await open_line(budget)
    for instant in ("0001-01-01T00:00:00Z", "1989-12-31T23:59:59Z", "9999-12-31T23:59:59Z"):
        for path in (f"/v1/lines/{line['id']}/forecast", "/v1/plan-forecast"):
            answer = await budget.get(path, params={"as_of": instant})
            assert answer.status_code == 200, answer.text
