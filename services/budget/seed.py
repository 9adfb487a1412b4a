"""Decides budget's part of the demo workspace: lines as a tree of years, departments and campaigns, and what was set
aside on each; and the software that it pays for."""

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from chassis.demo import Act, Stage, hour, month
from services.budget.contract import seed as software
from services.budget.request import seed as money

Json = dict[str, Any]

# A department's share of the year's money, in whole euros.
DEPARTMENTS = {"demand generation": 240_000, "content": 150_000, "brand": 90_000, "operations": 60_000}
CARRIES = {"search": "demand generation", "display": "demand generation", "event": "brand", "print": "brand"}


def acts(anchor: date, campaigns: Sequence[Mapping[str, Any]]) -> Iterator[Act]:
    """Each year's tree in the weeks before it, money by the quarter, and a line for each campaign a month ahead."""
    first = month(anchor, -24)
    years = range(first.year, anchor.year + 2)
    found = []
    for year in years:
        if year <= anchor.year or anchor.month >= 10:
            opens = max(date(year - 1, 11, 20), first - timedelta(days=18))
            found.append(Act(hour(opens, 15), _open_year(year)))
            for quarter in range(4):
                day = max(date(year, 3 * quarter + 1, 1) - timedelta(days=7), opens + timedelta(days=1))
                if day < anchor:
                    found.append(Act(hour(day, 15.5), _allot_quarter(year, quarter)))
    for campaign in campaigns:
        start = date.fromisoformat(campaign["flight"]["start"])
        at = max(start - timedelta(days=30), first - timedelta(days=17))
        if at < anchor:
            found.append(Act(hour(at, 16), _fund(campaign, start.year)))
            if start < anchor:
                found.append(Act(hour(max(start, at + timedelta(days=2)), 11), _spend(campaign)))
    found.append(Act(hour(min(date(anchor.year, 1, 15), anchor - timedelta(days=1)), 12), _open_abroad(anchor.year)))
    found.append(Act(hour(anchor - timedelta(days=1), 10), _plan_otherwise(anchor.year)))
    found.append(Act(hour(anchor - timedelta(days=20), 13), _import_card))
    found += software.acts(anchor)
    found += money.acts(first, anchor)
    return iter(sorted(found, key=lambda act: act.at))


async def _line(stage: Stage, name: str, line: Json) -> None:
    created = await stage.ask("manager", "POST", "budget", "/v1/lines", json={"name": name, **line})
    stage.ids[f"line:{name}"] = created["id"]


async def _allot(stage: Stage, name: str, amount: int, currency: str, reason: str) -> None:
    asked = {"amount": {"amount": f"{amount}.00", "currency": currency}, "reason": reason}
    await stage.ask("manager", "POST", "budget", f"/v1/lines/{stage.ids[f'line:{name}']}/allot", json=asked)


def _open_year(year: int) -> Any:
    async def do(stage: Stage) -> None:
        common = {"period": {"start": f"{year}-01-01", "end": f"{year + 1}-01-01"}, "currency": "EUR", "policy": "stop"}
        await _line(stage, f"Marketing {year}", {**common, "department": "marketing"})
        for kind, millions in (("budget", 6 + year % 3), ("revenue", 11 + year % 3)):
            figure = {"name": f"{kind.capitalize()} {year}", "kind": kind, "period": common["period"],
                      "amount": {"amount": f"{millions}000000.00", "currency": "EUR"}}  # fmt: skip
            await stage.ask("manager", "POST", "budget", "/v1/company-figures", json=figure)
        whole = sum(DEPARTMENTS.values()) + 20_000  # and what nobody knows yet
        await _allot(stage, f"Marketing {year}", whole, "EUR", f"as the board decided for {year}")
        for department in DEPARTMENTS:
            below = {
                "department": department, "parent_id": stage.ids[f"line:Marketing {year}"], "policy": "warn",
            }  # fmt: skip
            await _line(stage, f"{department.capitalize()} {year}", {**common, **below})
            # What the campaigns of spring are planned with before the first quarter's share comes.
            first = DEPARTMENTS[department] * (60 if department == "operations" else 40) // 100
            await _allot(stage, f"{department.capitalize()} {year}", first, "EUR", f"ahead of Q1 {year}")
        tools = {"department": "operations", "parent_id": stage.ids[f"line:Operations {year}"], "policy": "warn"}
        await _line(stage, f"Software {year}", {**common, **tools})
        await _allot(stage, f"Software {year}", 28_000 + 2_000 * (year % 4), "EUR", "contracts as signed")

    return do


def _plan_otherwise(year: int) -> Any:
    """What the year would be with more for brand and less for the others; nobody has decided yet."""

    async def do(stage: Stage) -> None:
        top = {"name": f"{year} with a larger brand", "line_id": stage.ids[f"line:Brand {year}"]}
        scenario = await stage.ask("manager", "POST", "budget", "/v1/scenarios", json=top)
        query = f"/v1/scenario-lines?scenario_id={scenario['id']}&line_id={top['line_id']}"
        (line,) = (await stage.ask("manager", "GET", "budget", query))["items"]
        more = {"amount": {"amount": str(Decimal(line["amount"]["amount"]) + 12_000), "currency": "EUR"}}
        await stage.ask(
            "manager", "PATCH", "budget", f"/v1/scenario-lines/{line['id']}", json=more, headers={"If-Match": "*"}
        )

    return do


def _allot_quarter(year: int, quarter: int) -> Any:
    async def do(stage: Stage) -> None:
        for department, amount in DEPARTMENTS.items():
            name, reason = f"{department.capitalize()} {year}", f"Q{quarter + 1} {year}"
            await _allot(stage, name, amount * (10, 20, 15, 15)[quarter] // 100, "EUR", reason)

    return do


def _fund(campaign: Mapping[str, Any], year: int) -> Any:
    rng = random.Random(campaign["slug"])  # noqa: S311  # what it decides is no secret
    department = next((CARRIES[each] for each in campaign["channels"] if each in CARRIES), "content")

    async def do(stage: Stage) -> None:
        parent = stage.ids.get(f"line:{department.capitalize()} {year}")
        line = {
            "department": department, "campaign_id": stage.ids[f"campaign:{campaign['slug']}"], "parent_id": parent,
            "channel": campaign["channels"][0],
            "period": {"start": f"{year}-01-01", "end": f"{year + 1}-01-01"}, "currency": "EUR",
            "policy": rng.choice(("stop", "stop", "warn")),
        }  # fmt: skip
        await _line(stage, campaign["name"], line)
        amount = 500 * rng.randrange(4, 12 + 8 * len(campaign["channels"]))
        await _allot(stage, campaign["name"], amount, "EUR", "as planned")
        if rng.random() < 0.3:
            await _allot(stage, campaign["name"], amount // 5, "EUR", "what the agency quoted was more")

    return do


def _spend(campaign: Mapping[str, Any]) -> Any:
    """What a campaign buys when it begins: asked for, approved, ordered; and the invoices of what has come."""
    rng = random.Random(f"spend {campaign['slug']}")  # noqa: S311  # what it decides is no secret
    vendor = rng.choice(("Studio Nord", "Kontor Media", "Printworks", "Feld & Co"))

    async def do(stage: Stage) -> None:
        line = stage.ids[f"line:{campaign['name']}"]
        cents = 100 * rng.randrange(300, 1800)
        amount = {"amount": f"{cents / 100:.2f}", "currency": "EUR"}
        asked = {"title": f"{vendor} for {campaign['name']}", "line_id": line, "amount": amount, "vendor": vendor}
        request = await stage.ask("specialist", "POST", "budget", "/v1/requests", json=asked)
        path = f"/v1/requests/{request['id']}"
        await stage.ask("specialist", "POST", "budget", f"{path}/submit")
        what = rng.random()
        if what < 0.1:
            await stage.ask("manager", "POST", "budget", f"{path}/reject", json={"reason": "we have it in house"})
            return
        await stage.ask("manager", "POST", "budget", f"{path}/approve")
        if what < 0.25:
            return
        await stage.ask("specialist", "POST", "budget", f"{path}/commit")
        # The second invoice is sometimes a little more than what was left, within what is let pass.
        parts = [cents] if what < 0.6 else [cents // 2, cents - cents // 2 + (cents // 50 if what < 0.75 else 0)]
        for number, part in enumerate(parts[: 1 if what > 0.85 else 2], 1):
            bill = {
                "request_id": request["id"], "line_id": line, "number": f"{campaign['slug']}-{number}",
                "amount": {"amount": f"{part / 100:.2f}", "currency": "EUR"}, "date": stage.now.date().isoformat(),
            }  # fmt: skip
            invoice = await stage.ask("specialist", "POST", "budget", "/v1/invoices", json=bill)
            await stage.ask("manager", "POST", "budget", f"/v1/invoices/{invoice['id']}/post")

    return do


async def _import_card(stage: Stage) -> None:
    """The company card's last month, as its bank exports it: with a row that is there twice and one without a day."""
    day = stage.now.date()
    columns = {"date": "Buchungstag", "amount": "Betrag", "vendor": "Empfänger", "reference": "Referenz"}
    mapping = {
        "name": "Company card", "kind": "card", "columns": columns, "date_order": "dmy", "decimal_mark": "comma",
        "spending": "negative", "currency": "EUR", "line_id": stage.ids[f"line:Operations {day.year}"],
    }  # fmt: skip
    saved = await stage.ask("manager", "POST", "budget", "/v1/statement-mappings", json=mapping)
    bought = (("Bahn", "84,90"), ("Papierladen", "23,10"), ("Taxi Nord", "31,00"), ("Hotel am Park", "1.212,00"))
    rows = [f"{day:%d.%m.%Y};-{amount};{vendor};K{place}-{day:%m%y}" for place, (vendor, amount) in enumerate(bought)]
    file = "\r\n".join(["Karte 4711", "Buchungstag;Betrag;Empfänger;Referenz", *rows, rows[0], ";-12,00;Kiosk;K9"])
    sent = {"data": {"mapping_id": saved["id"]}, "files": {"file": ("card.csv", file.encode("cp1252"))}}
    await stage.ask("manager", "POST", "budget", "/v1/statements", **sent)


def _open_abroad(year: int) -> Any:
    """One line in another currency, which no sum may be made of without a rate."""

    async def do(stage: Stage) -> None:
        period = {"start": f"{year}-01-01", "end": f"{year + 1}-01-01"}
        line = {"department": "demand generation", "period": period, "currency": "USD", "policy": "stop"}
        await _line(stage, f"US partners {year}", line)
        await _allot(stage, f"US partners {year}", 18_000, "USD", "the partners' share")

    return do
