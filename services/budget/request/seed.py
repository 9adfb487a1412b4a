"""Decides what the demo's team does about money beside what its campaigns buy: years that are closed, approvals in
layers, orders over several lines and in another currency, what went back or wasn't wanted, plans that moved."""

from collections.abc import Awaitable, Callable, Iterator
from datetime import date, timedelta
from typing import Any

from chassis.demo import Act, Stage, hour

Json = dict[str, Any]
Do = Callable[[Stage], Awaitable[None]]
SPONSORING = "sponsoring"


def acts(first: date, anchor: date) -> Iterator[Act]:
    """From the first month on, most of it in the last three."""
    yield Act(hour(first + timedelta(days=1), 17), _divide_years(first.year, anchor.year))
    # Of the years that are over only the first is closed: in the last one somebody may still have something to add.
    yield Act(hour(date(first.year + 1, 1, 20), 17), _close(first.year))
    for ago, do in (
        (90, _agree_on_layers), (70, _adopt), (60, _sponsor), (50, _buy_abroad), (45, _forget), (40, _move_money),
        (30, _order_in_vain), (25, _pay_twice), (12, _pay_more), (10, _value), (3, _ask_for_much), (1, _propose),
    ):  # fmt: skip
        yield Act(hour(anchor - timedelta(days=ago), 17), do)


async def _post(stage: Stage, role: str, path: str, body: Json | None = None) -> Any:
    return await stage.ask(role, "POST", "budget", path, json=body)


def _line(stage: Stage, department: str) -> str:
    return stage.ids[f"line:{department} {stage.now.year}"]


def _money(amount: str, currency: str = "EUR") -> Json:
    return {"amount": amount, "currency": currency}


async def _ask(stage: Stage, title: str, line: str, amount: Json, **more: Any) -> str:
    """The path of a request that waits for a decision."""
    asked = await _post(
        stage, "specialist", "/v1/requests", {"title": title, "line_id": line, "amount": amount, **more}
    )
    path = f"/v1/requests/{asked['id']}"
    await _post(stage, "specialist", f"{path}/submit")
    return path


async def _order(stage: Stage, title: str, line: str, amount: Json, **more: Any) -> str:
    path = await _ask(stage, title, line, amount, **more)
    await _post(stage, "manager", f"{path}/approve")
    await _post(stage, "specialist", f"{path}/commit")
    return path


async def _bill(stage: Stage, path: str, line: str, number: str, amount: Json) -> str:
    """The path of an invoice that was held against its order and posted, if nothing was wrong with it."""
    bill = {"request_id": path.rpartition("/")[2], "line_id": line, "number": number, "amount": amount,
            "date": stage.now.date().isoformat()}  # fmt: skip
    invoice = await _post(stage, "specialist", "/v1/invoices", bill)
    await _post(stage, "manager", f"/v1/invoices/{invoice['id']}/post")
    return f"/v1/invoices/{invoice['id']}"


def _divide_years(since: int, until: int) -> Do:
    async def do(stage: Stage) -> None:
        calendar = {"name": "Calendar months", "scheme": "months", "start_month": 1}
        stage.ids["calendar"] = (await _post(stage, "manager", "/v1/calendars", calendar))["id"]
        for year in range(since, until + 1):
            opened = await _post(stage, "manager", f"/v1/calendars/{stage.ids['calendar']}/open-year", {"year": year})
            stage.ids[f"last period:{year}"] = opened["periods"][-1]["id"]

    return do


def _close(year: int) -> Do:
    async def do(stage: Stage) -> None:
        await _post(stage, "manager", f"/v1/periods/{stage.ids[f'last period:{year}']}/close")

    return do


async def _agree_on_layers(stage: Stage) -> None:
    for name, above in (("Sponsoring", "0.00"), ("Sponsoring that is seen", "5000.00")):
        band = {"name": name, "above": _money(above), "category": SPONSORING}
        await _post(stage, "admin", "/v1/bands", band)
    day = stage.now.date()
    days = {"start": day.isoformat(), "end": (day + timedelta(days=14)).isoformat()}
    away = {"absent": "head.of.brand@mops.example", "stand_in": "head.of.content@mops.example", "days": days}
    await _post(stage, "admin", "/v1/delegations", away)


async def _adopt(stage: Stage) -> None:
    plan = {"name": "More to read", "line_id": _line(stage, "Content")}
    scenario = await _post(stage, "manager", "/v1/scenarios", plan)
    query = f"/v1/scenario-lines?scenario_id={scenario['id']}&line_id={plan['line_id']}"
    (line,) = (await stage.ask("manager", "GET", "budget", query))["items"]
    whole = int(line["amount"]["amount"].partition(".")[0]) + 1000
    await stage.ask(
        "manager", "PATCH", "budget", f"/v1/scenario-lines/{line['id']}", headers={"If-Match": "*"},
        json={"amount": _money(f"{whole}.00")},
    )  # fmt: skip
    await _post(stage, "manager", f"/v1/scenarios/{scenario['id']}/adopt")


async def _sponsor(stage: Stage) -> None:
    """Two say yes, and one invoice is for what two lines were asked for."""
    brand, content = _line(stage, "Brand"), _line(stage, "Content")
    items = [
        {"line_id": brand, "amount": _money("6000.00"), "description": "logo on the stage"},
        {"line_id": content, "amount": _money("2000.00"), "description": "talk in the programme"},
    ]
    path = await _ask(
        stage, "Main sponsor of the autumn fair", brand, _money("8000.00"), vendor="Messe Mitte",
        category=SPONSORING, items=items,
    )  # fmt: skip
    await _post(stage, "manager", f"{path}/approve")
    await _post(stage, "admin", f"{path}/approve")
    await _post(stage, "specialist", f"{path}/commit", {"po_number": f"FAIR-{stage.now.year}-1"})
    await _bill(stage, path, brand, "MM-7731", _money("8000.00"))


async def _buy_abroad(stage: Stage) -> None:
    """In a currency that the ECB has no rate of, so that somebody brings one."""
    await _post(stage, "manager", "/v1/rates", {"csv": f"Date,AED\n{stage.now.date()},4.2000"})
    await _order(stage, "Stand in Dubai", _line(stage, "Brand"), _money("9000.00", "AED"), vendor="Gulf Stands")


async def _value(stage: Stage) -> None:
    await _post(stage, "manager", "/v1/rates", {"csv": f"Date,AED\n{stage.now.date()},4.0500"})
    await _post(stage, "manager", "/v1/revaluations", {})


async def _forget(stage: Stage) -> None:
    """Approved, and never ordered: what was reserved is let go of after a while."""
    path = await _ask(stage, "Printed calendars", _line(stage, "Brand"), _money("1450.00"), vendor="Printworks")
    await _post(stage, "manager", f"{path}/approve")


async def _move_money(stage: Stage) -> None:
    moved = {"from_line_id": _line(stage, "Operations"), "to_line_id": _line(stage, "Content"),
             "amount": _money("1500.00"), "reason": "translations are content's from now on"}  # fmt: skip
    transfer = await _post(stage, "specialist", "/v1/transfers", moved)
    await _post(stage, "manager", f"/v1/transfers/{transfer['id']}/approve")


async def _order_in_vain(stage: Stage) -> None:
    path = await _order(stage, "Moderator", _line(stage, "Brand"), _money("1200.00"), vendor="Feld & Co")
    await _post(stage, "manager", f"{path}/void", {"reason": "the evening was cancelled"})


async def _pay_twice(stage: Stage) -> None:
    """What had come by mail and on paper is taken back once, and the order is open again for the rest."""
    line = _line(stage, "Content")
    path = await _order(stage, "Proofreading", line, _money("900.00"), vendor="Wortwerk")
    await _bill(stage, path, line, "W-88", _money("450.00"))
    again = await _bill(stage, path, line, "W-88 on paper", _money("450.00"))
    await _post(stage, "manager", f"{again}/reverse", {"reason": "the same invoice, on paper"})


async def _pay_more(stage: Stage) -> None:
    """More than was ordered: one that somebody let pass, and one that waits."""
    line = _line(stage, "Content")
    for number, title in enumerate(("Translation into French", "Translation into Polish"), 1):
        path = await _order(stage, title, line, _money("600.00"), vendor="Babel & Co")
        invoice = await _bill(stage, path, line, f"B-{number}", _money("690.00"))
        if number == 1:
            await _post(stage, "manager", f"{invoice}/accept", {"reason": "twenty pages more than we had thought"})


async def _ask_for_much(stage: Stage) -> None:
    """The first layer has said yes; the second hasn't looked yet."""
    line = _line(stage, "Brand")
    path = await _ask(stage, "A boat on the river", line, _money("12500.00"), vendor="Messe Mitte", category=SPONSORING)
    await _post(stage, "manager", f"{path}/approve")


async def _propose(stage: Stage) -> None:
    moved = {"from_line_id": _line(stage, "Brand"), "to_line_id": _line(stage, "Demand generation"),
             "amount": _money("2500.00"), "reason": "the search ads do better"}  # fmt: skip
    await _post(stage, "specialist", "/v1/transfers", moved)
