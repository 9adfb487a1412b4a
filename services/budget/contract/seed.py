"""Decides budget's software in the demo workspace: whom the team bought tools from, what it decided about them, and who
uses them."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from chassis.demo import Act, Stage, hour, month

Json = dict[str, Any]


@dataclass(frozen=True)
class Tool:
    """A contract whose current term ends so many months after this one's first day. `years`: how many terms there have
    been. `decided`: the verb, and how many days ago."""

    name: str
    vendor: str
    category: str
    department: str
    cost: int
    seats: int | None
    ends: int
    notice: tuple[int, str] = (1, "months")
    lead_days: int = 30
    auto_renews: bool = True
    years: int = 1
    idle_share: float = 0.1
    currency: str = "EUR"
    decided: tuple[str, int] | None = None
    grows: int | None = None

    def term(self, anchor: date, number: int = 0) -> tuple[date, date]:
        """Its first term, or one after it."""
        ends = self.ends - 12 * (self.years - 1 - number)
        return month(anchor, ends - 12), month(anchor, ends)


TOOLS = (
    Tool("Postbote Send", "Postbote GmbH", "email-delivery", "operations", 14_400, None, 3, (1, "months"), 75),
    Tool("Mailwind", "Mailwind Inc.", "email-delivery", "demand generation", 3_588, 6, 8, years=2, idle_share=0.5),
    Tool("Leadbase CRM", "Leadbase AG", "crm", "demand generation", 18_900, 18, 7, (3, "months"), 60, years=2),
    Tool("Formwerk", "Formwerk UG", "design", "brand", 5_280, 10, 2, decided=("renegotiate", 40), grows=4_700),
    Tool("Pixelhaus Pro", "Pixelhaus S.A.", "design", "content", 4_140, 9, 3, (30, "days"), 75, idle_share=0.6),
    Tool("Wortlaut", "Wortlaut GmbH", "writing", "content", 1_990, 8, 1, (2, "months"), 45),
    Tool("Taktplan", "Taktplan GmbH", "project-management", "operations", 6_120, 24, 9, years=2, idle_share=0.25),
    Tool("Boardly", "Boardly Ltd.", "project-management", "brand", 1_440, 8, 4, decided=("terminate", 20)),
    Tool("Sichtweite", "Sichtweite SE", "analytics", "operations", 9_600, 5, 10, (3, "months"), 90),
    Tool("Trendlot", "Trendlot B.V.", "social-listening", "brand", 2_400, 4, -2, auto_renews=False),
    Tool("Seminario", "Seminario S.r.l.", "webinars", "demand generation", 4_800, 5, 3, (1, "months"), 75),
    Tool("Adlane", "Adlane Corp.", "ad-management", "demand generation", 7_200, 4, 6, currency="USD"),
)  # fmt: skip
BLOCKED, PROSPECT = "Spamfix Ltd.", "Klarbild GmbH"
# Who pays for it is short: what it costs is kept free on a line of its own that doesn't hold it.
SHORT = "Seminario"
PEOPLE = {
    "demand generation": ("amir", "britta", "cem", "dora", "elif", "finn", "gesa", "hannes"),
    "content": ("ida", "jan", "kim", "lotte", "mats", "nora", "olga"),
    "brand": ("paul", "quentin", "rosa", "sven", "tilda"),
    "operations": ("ute", "vito", "wanda", "yara"),
}


def acts(anchor: date) -> Iterator[Act]:
    """Each contract as it was signed, decided about each year, and told of every quarter by who used it."""
    earliest = month(anchor, -24) + timedelta(days=3)
    yield Act(hour(earliest, 10), _know_vendors)
    yield Act(hour(max(anchor - timedelta(days=60), earliest), 10), _open_short_line(anchor.year))
    for tool in TOOLS:
        start, end = tool.term(anchor)
        signed = max(start - timedelta(days=5), earliest)
        yield Act(hour(signed, 11), _sign(tool, start, end))
        if tool.seats:
            yield Act(hour(signed, 12), _give_seats(tool))
            for day in _tellings(signed, min(tool.term(anchor, tool.years - 1)[1], anchor)):
                yield Act(hour(day, 13), _tell_uses(tool, day, signed))
        for number in range(tool.years - 1):
            turns = tool.term(anchor, number)[1]
            yield Act(hour(turns - timedelta(days=110), 14), _decide(tool, "renew", "still the best for it"))
        if tool.decided:
            verb, ago = tool.decided
            yield Act(hour(anchor - timedelta(days=ago), 14), _decide(tool, verb, "as the team agreed"))
        for year in range(signed.year + 1, anchor.year + 1):
            day = date(year, 1, 15)
            if day < min(anchor, tool.term(anchor, tool.years - 1)[1]) and _is_paid_by_software(tool):
                yield Act(hour(day, 15), _pay_by(tool, year))
    yield Act(hour(anchor - timedelta(days=100), 16), _promise)
    yield Act(hour(anchor - timedelta(days=8), 16), _keep_promise)


def _is_paid_by_software(tool: Tool) -> bool:
    return tool.currency == "EUR" and tool.name != SHORT


def _tellings(signed: date, end: date) -> Iterator[date]:
    """Every quarter, and yesterday."""
    day = signed + timedelta(days=91)
    while day < end - timedelta(days=1):
        yield day
        day += timedelta(days=91)
    yield end - timedelta(days=1)


async def _know_vendors(stage: Stage) -> None:
    for tool in TOOLS:
        name = tool.vendor.partition(" ")[0].lower()
        vendor = {
            "name": tool.vendor, "currency": tool.currency, "payment_days": 14 if tool.seats else 30,
            "contact": {"name": f"{tool.name} support", "address": f"support@{name}.example"},
        }  # fmt: skip
        created = await stage.ask("specialist", "POST", "budget", "/v1/vendors", json=vendor)
        stage.ids[f"vendor:{tool.vendor}"] = created["id"]
    for name, status in ((BLOCKED, "blocked"), (PROSPECT, "prospect")):
        vendor = {"name": name, "currency": "EUR", "status": status}
        await stage.ask("specialist", "POST", "budget", "/v1/vendors", json=vendor)


def _open_short_line(year: int) -> Any:
    async def do(stage: Stage) -> None:
        period = {"start": f"{year}-01-01", "end": f"{year + 2}-01-01"}
        line = {"name": "Event tools", "department": "demand generation", "period": period, "currency": "EUR"}
        created = await stage.ask("manager", "POST", "budget", "/v1/lines", json={**line, "policy": "stop"})
        allotted = {"amount": {"amount": "2000.00", "currency": "EUR"}, "reason": "a first part"}
        await stage.ask("manager", "POST", "budget", f"/v1/lines/{created['id']}/allot", json=allotted)
        if f"contract:{SHORT}" in stage.ids:
            await _edit(stage, SHORT, {"line_id": created["id"]})

    return do


async def _edit(stage: Stage, name: str, change: Json) -> None:
    path = f"/v1/contracts/{stage.ids[f'contract:{name}']}"
    await stage.ask("specialist", "PATCH", "budget", path, json=change, headers={"If-Match": "*"})


def _sign(tool: Tool, start: date, end: date) -> Any:
    async def do(stage: Stage) -> None:
        contract = {
            "vendor_id": stage.ids[f"vendor:{tool.vendor}"], "name": tool.name, "category": tool.category,
            "department": tool.department, "cost": {"amount": f"{tool.cost}.00", "currency": tool.currency},
            "seat_count": tool.seats, "term": {"start": start.isoformat(), "end": end.isoformat()},
            "auto_renews": tool.auto_renews, "renewal_months": 12,
            "notice": {"count": tool.notice[0], "unit": tool.notice[1]}, "lead_days": tool.lead_days,
        }  # fmt: skip
        if _is_paid_by_software(tool):
            contract["line_id"] = stage.ids.get(f"line:Software {stage.now.year}")
        created = await stage.ask("specialist", "POST", "budget", "/v1/contracts", json=contract)
        stage.ids[f"contract:{tool.name}"] = created["id"]

    return do


def _pay_by(tool: Tool, year: int) -> Any:
    async def do(stage: Stage) -> None:
        await _edit(stage, tool.name, {"line_id": stage.ids[f"line:Software {year}"]})

    return do


def _decide(tool: Tool, verb: str, reason: str) -> Any:
    async def do(stage: Stage) -> None:
        decision: Json = {"reason": reason}
        if verb == "renegotiate":
            decision["cost"] = {"amount": f"{tool.grows}.00", "currency": tool.currency}
        path = f"/v1/contracts/{stage.ids[f'contract:{tool.name}']}/{verb}"
        await stage.ask("manager", "POST", "budget", path, json=decision)

    return do


def _users(tool: Tool) -> list[tuple[str, str]]:
    """Address and department of who has a seat: the tool's own department first, and a few seats are nobody's."""
    order = [tool.department, *(name for name in PEOPLE if name != tool.department)]
    everybody = [(f"{name}@mops.example", department) for department in order for name in PEOPLE[department]]
    return everybody[: max(1, (tool.seats or 0) * 9 // 10)]


def _give_seats(tool: Tool) -> Any:
    async def do(stage: Stage) -> None:
        contract_id = stage.ids[f"contract:{tool.name}"]
        for address, department in _users(tool):
            seat = {"contract_id": contract_id, "address": address, "department": department}
            await stage.ask("specialist", "POST", "budget", "/v1/seats", json=seat)

    return do


def _tell_uses(tool: Tool, day: date, signed: date) -> Any:
    rng = random.Random(tool.name)  # noqa: S311  # what it decides is no secret

    async def do(stage: Stage) -> None:
        rows = ["user,last_active"]
        for address, _ in _users(tool):
            lost = signed + timedelta(days=rng.randrange(5, 60)) if rng.random() < tool.idle_share else day
            rows.append(f"{address},{max(min(lost, day - timedelta(days=rng.randrange(6))), signed)}")
        told = {
            "contract_id": stage.ids[f"contract:{tool.name}"], "content": "\n".join(rows),
            "address_column": "user", "day_column": "last_active",
        }  # fmt: skip
        await stage.ask("specialist", "POST", "budget", "/v1/seat-uses/import", json=told)

    return do


async def _promise(stage: Stage) -> None:
    first = (stage.now + timedelta(days=95)).date().isoformat()
    for vendor, words, months in (
        ("Leadbase AG", "Delete contacts that left, and tell the vendor", 3),
        ("Postbote GmbH", "Send no more than agreed, and report the volume", 1),
        ("Sichtweite SE", "Have the data processing agreement renewed", None),
    ):
        promised = {
            "vendor_id": stage.ids[f"vendor:{vendor}"], "words": words, "owner": "operations", "first_due": first,
            "every_months": months,
        }  # fmt: skip
        created = await stage.ask("specialist", "POST", "budget", "/v1/obligations", json=promised)
        stage.ids[f"obligation:{vendor}"] = created["id"]


async def _keep_promise(stage: Stage) -> None:
    path = f"/v1/obligations/{stage.ids['obligation:Leadbase AG']}/fulfil"
    proof = {"evidence": "https://leadbase.example/reports/deleted", "words": "412 contacts"}
    await stage.ask("specialist", "POST", "budget", path, json=proof)
