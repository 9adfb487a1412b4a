"""Decides whether an import of 100,000 rows, 1 % of them at fault in every way that is known, takes less than a minute;
with every good row in, every other one explained, and nothing changed by the same file again.

Counted from the upload to the last row, in one process as a part is run, with a Postgres that keeps what it is told on
disk. `--format xlsx`: a workbook instead of CSV. `--bug no-claim` shows that the run can fail.
"""

import argparse
import csv
import io
import json
import logging
import random
import secrets
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import uvloop

from bench.approvals import budget_alone
from chassis.roles import scopes_of
from chassis.testing import Clock, TestStack
from gateway.identity.token.signing import Grant, access_token
from services.budget.app import app

ROWS, LINES, ORDERS, OF_AN_ORDER = 100_000, 50, 60, 5
SECONDS = 60
HEADER = ("Buchungstag", "Betrag", "Empfänger", "Referenz", "Zweck", "Bestellung", "Kostenstelle")
COLUMNS = dict(zip(("date", "amount", "vendor", "reference", "description", "po_number", "line"), HEADER, strict=True))
EVERY = 100


@dataclass
class Told:
    """A file's rows, and what has to become of each."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    wanted: dict[int, tuple[str, str | None]] = field(default_factory=dict)
    spent: int = 0


def shown(cents: int, way: int) -> str:
    """An amount as one or another system writes it."""
    whole, part = divmod(abs(cents), 100)
    plain, grouped = f"{whole},{part:02}", f"{whole:,}".replace(",", ".") + f",{part:02}"
    if cents < 0:
        return (f"-{plain}", f"({grouped} €)", f"{grouped}-")[way % 3]
    return (plain, grouped, f"{grouped} €", f"EUR {grouped}", f"+{plain}")[way % 5]


def made(orders: list[str], *, text: bool) -> Told:
    """The file. Every hundredth row is at fault, each kind as often as the others."""
    chance, told = random.Random(7), Told()
    seen: list[tuple[Any, ...]] = []
    faults = (
        ("bad", "not_a_date"), ("bad", "missing"), ("bad", "not_an_amount"), ("bad", "not_an_amount"),
        ("bad", "too_precise"), ("bad", "zero"), ("bad", "too_much"), ("bad", "not_an_amount"),
        ("bad", "other_currency"), ("bad", "missing"), ("bad", "implausible_date"), ("bad", "too_long"),
        ("exception", "unknown_line"), ("exception", "unknown_order"), ("exception", "does_not_fit"),
        ("exception", "credit_of_order"), ("exception", "period_closed"), ("duplicate", "duplicate"),
        ("bad", "too_many_cells"), *([("bad", "quotes")] if text else []),
    )  # fmt: skip
    numbers = {each * (ROWS // (ORDERS * OF_AN_ORDER)) + 7: each % ORDERS for each in range(ORDERS * OF_AN_ORDER)}
    for number in range(ROWS):
        day = date(2026, 2, 1) + timedelta(days=chance.randrange(120))
        cents = -100 if number % 97 == 5 else chance.randrange(100, 200_000)
        line = f"Line {chance.randrange(LINES)}"
        row = [day.strftime("%d.%m.%Y"), shown(cents, number), f"Müller {number % 300}", f"T{number:06}",
               "Anzeigen, Juni", "", line]  # fmt: skip
        wanted: tuple[str, str | None] = ("posted", None)
        if number % EVERY == 50:
            wanted = fault(row, number, (number // EVERY) % len(faults), orders, seen, faults)
        elif number in numbers:
            row[5], row[6], row[2], cents = orders[numbers[number]], "", "", 1000
            row[1] = shown(cents, number)
        if wanted[0] == "posted":
            told.spent += cents
            seen.append(tuple(row))
        told.rows.append(tuple(row))
        told.wanted[number] = wanted
    return told


def fault(
    row: list[Any], number: int, kind: int, orders: list[str], seen: list[tuple[Any, ...]], faults: Any
) -> tuple[str, str | None]:
    changes: tuple[dict[int, Any], ...] = (
        {0: "31.02.2026"}, {0: ""}, {1: "zwölf"}, {1: "12.50"}, {1: "1,234"}, {1: "0,00"}, {1: "9" * 17}, {1: "=1+1"},
        {1: "$ 5,00"}, {1: ""}, {0: "01.01.1970"}, {2: "x" * 300}, {6: "Nowhere"}, {5: "PO-none"},
        {1: "900.000.000,00"}, {1: "-5,00", 5: orders[0]}, {0: "15.01.2025"}, {}, {7: "more"}, {2: '"open'},
    )  # fmt: skip
    if faults[kind][0] == "duplicate":
        row[:] = seen[-1]
    for place, value in changes[kind].items():
        if place == len(row):
            row.append(value)
        else:
            row[place] = value
    found: tuple[str, str | None] = faults[kind]
    return found


def as_csv(told: Told) -> tuple[bytes, dict[int, int]]:
    """The file in an old spreadsheet's encoding, with lines above its header and empty ones between; and each row's
    number in it."""
    out, places = io.StringIO(), {}
    writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
    out.write("Kontoauszug;4711\r\n\r\n")
    writer.writerow(HEADER)
    at = 3
    for number, row in enumerate(told.rows):
        if number % 1000 == 999:
            out.write(";;;;;;\r\n")
            at += 1
        at += 1
        places[at] = number
        if '"' in str(row[2]):
            out.write(";".join(row) + "\r\n")
        else:
            writer.writerow(row)
    return out.getvalue().encode("cp1252"), places


def as_workbook(told: Told) -> tuple[bytes, dict[int, int]]:
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Umsätze")
    for line in (["Kontoauszug", 4711], [], list(HEADER)):
        sheet.append(line)
    places = {}
    for number, row in enumerate(told.rows):
        places[number + 4] = number
        # As spreadsheets keep what is plain: days and numbers are no text.
        kept: list[Any] = list(row)
        if told.wanted[number][0] == "posted":
            kept[0] = datetime.strptime(row[0], "%d.%m.%Y").date()
            if number % 5 == 0 and "-" not in row[1] and "(" not in row[1]:
                kept[1] = float(row[1].replace(",", "."))
        sheet.append(["'" + each if isinstance(each, str) and each.startswith("=") else each for each in kept])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue(), places


async def money(call: Any, told: Told) -> list[str]:
    """Lines with enough, and orders; their numbers."""
    period = {"start": "2024-01-01", "end": "2028-01-01"}
    lines = []
    for number in range(LINES):
        line = {"name": f"Line {number}", "department": "growth", "period": period, "currency": "EUR", "policy": "stop"}
        lines.append((await call("ada", "/v1/lines", line))["id"])
        amount = {"amount": {"amount": "20000000.00", "currency": "EUR"}}
        await call("ada", f"/v1/lines/{lines[-1]}/allot", amount)
    found = []
    for number in range(ORDERS):
        asked = {"title": f"Order {number}", "line_id": lines[number % LINES], "vendor": f"Agentur {number}",
                 "amount": {"amount": "50.00", "currency": "EUR"}}  # fmt: skip
        path = f"/v1/requests/{(await call('ada', '/v1/requests', asked))['id']}"
        await call("ada", f"{path}/submit")
        await call("bob", f"{path}/approve")
        found.append((await call("ada", f"{path}/commit"))["po_number"])
    calendar = await call("ada", "/v1/calendars", {"name": "Fiscal", "scheme": "months"})
    opened = await call("ada", f"/v1/calendars/{calendar['id']}/open-year", {"year": 2025})
    await call("ada", f"/v1/periods/{opened['periods'][0]['id']}/close")
    return found


async def measure(stack: TestStack, workspace: Any, kind: str) -> dict[str, float]:
    async with stack.started({"budget": app}):
        clients = {}
        for name in ("ada", "bob"):
            grant = Grant(name, name, workspace, ["admin"], sorted(scopes_of(["admin"])), timedelta(days=1))
            token = access_token(grant, stack.key, "http://gateway", stack.clock.now)
            clients[name] = httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://budget", timeout=600,
                headers={"Authorization": f"Bearer {token}"},
            )  # fmt: skip

        async def call(who: str, path: str, body: Any = None, **more: Any) -> Any:
            answer = await clients[who].post(path, json=body, **more)
            assert answer.is_success, answer.text
            return answer.json()

        async def read(path: str, **asked: Any) -> Any:
            answer = await clients["ada"].get(path, params=asked)
            assert answer.is_success, answer.text
            return answer.json()

        orders = await money(call, Told())
        told = made(orders, text=kind == "csv")
        file, places = as_csv(told) if kind == "csv" else as_workbook(told)
        mapping = await call("ada", "/v1/statement-mappings", {
            "name": "Bank", "kind": "bank", "columns": COLUMNS, "date_order": "dmy", "decimal_mark": "comma",
            "currency": "EUR",
        })  # fmt: skip
        print(f"{len(told.rows):,} rows, {len(file) / 1e6:.1f} MB of {kind}", flush=True)

        async def bring_in() -> tuple[dict[str, Any], float]:
            began = time.perf_counter()
            sent = await clients["ada"].post(
                "/v1/statements", data={"mapping_id": mapping["id"]}, files={"file": ("bank", file)}
            )
            assert sent.is_success, sent.text
            await app.state.runner.run_due()
            took = time.perf_counter() - began
            found = await read(f"/v1/statements/{sent.json()['id']}")
            print(
                f"{found['state']} in {took:.1f} s: "
                + ", ".join(f"{found[each]:,} {each}" for each in ("posted", "exceptions", "duplicates", "bad")),
                flush=True,
            )
            return found, took

        first, seconds = await bring_in()
        export = await clients["ada"].get(f"/v1/statements/{first['id']}/export")
        rows = {places.get(int(row["row"])): (row["outcome"], row["code"] or None)
                for row in csv.DictReader(io.StringIO(export.text))}  # fmt: skip
        wrong = Counter(
            (wanted, rows.get(number)) for number, wanted in told.wanted.items() if rows.get(number) != wanted
        )
        for (wanted, found), count in wrong.most_common(10):
            print(f"{count} rows should be {wanted} and are {found}")
        good = [number for number, (outcome, _) in told.wanted.items() if outcome == "posted"]
        others = [number for number in told.wanted if told.wanted[number][0] != "posted"]
        spent = await total(read)
        second, again = await bring_in()
        unchanged = second["posted"] == 0 and await total(read) == spent
        sound = (await read("/v1/ledger-check"))["sound"]
        for client in clients.values():
            await client.aclose()
    return {
        "minute": round(SECONDS / seconds, 2),
        "minute_again": round(SECONDS / again, 2),
        "good_rows_in": sum(rows.get(each) == told.wanted[each] for each in good) / len(good),
        "others_explained": sum(rows.get(each) == told.wanted[each] for each in others) / len(others),
        "to_the_cent": float(spent == Decimal(told.spent) / 100),
        "again_changes_nothing": float(unchanged),
        "sound": float(sound),
    }


async def total(read: Any) -> Decimal:
    lines = [line["id"] for line in (await read("/v1/lines", limit=200))["items"]]
    found = await read("/v1/line-positions", line_id=lines, limit=200)
    return sum((Decimal(each["position"]["actual"]["amount"]) for each in found["items"]), Decimal())


def no_claim() -> None:
    """Takes no row for one that is there already."""
    from services.budget.statement import posting

    posting.claim_of = lambda *_: secrets.token_bytes(32)  # type: ignore[attr-defined]


BUGS = {"no-claim": no_claim}


def main() -> int:
    asked = argparse.ArgumentParser()
    asked.add_argument("--format", choices=("csv", "xlsx"), default="csv")
    asked.add_argument("--bug", choices=BUGS, default="")
    given = asked.parse_args()
    # A line for each request, on the terminal, would be part of what is measured.
    logging.disable(logging.INFO)
    if given.bug:
        BUGS[given.bug]()
    with budget_alone() as (stack, workspace):
        at_work = replace(stack, clock=Clock(datetime.now(UTC)))
        ratios = uvloop.run(measure(at_work, workspace, given.format))
    bars = dict.fromkeys(ratios, 1.0)
    print(json.dumps({"bench": "imports", "ratios": ratios, "bars": bars}))
    met = all(ratio >= bars[each] for each, ratio in ratios.items())
    if given.bug:
        print(f"seeded bug {given.bug}: {'NOT FOUND' if met else 'red, as it should be'}")
        return int(met)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
