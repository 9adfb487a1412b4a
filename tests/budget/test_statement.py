"""What imports of other systems' files promise: every row that can be posted is, once; every other says why."""

import asyncio
import csv
import io
import random
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import openpyxl
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from chassis.jobs import MOST_ATTEMPTS
from chassis.testing import Clock
from services.budget.statement import actions, rules
from services.budget.statement.posting import post_rows
from tests.budget.conftest import Person
from tests.budget.test_invoice import bring, order
from tests.budget.test_ledger import allot, money
from tests.budget.test_plan import open_line, wrong_fields
from tests.budget.test_request import pots, sound
from tests.parts import Connect, Workspace

Json = dict[str, Any]
Import = Callable[..., Awaitable[Json]]
COLUMNS = {
    "date": "Date", "amount": "Amount", "vendor": "Payee", "reference": "Ref", "description": "Text",
    "po_number": "PO", "line": "Line",
}  # fmt: skip
HEADER = "Date;Amount;Payee;Ref;Text;PO;Line"


@pytest.fixture
async def line(budget: httpx.AsyncClient) -> Json:
    """A `stop` line with 100 euros."""
    line = await open_line(budget, low_percent=0)
    await allot(budget, line, "100")
    return line


async def save_mapping(client: httpx.AsyncClient, line: Json | None = None, **more: Any) -> Json:
    asked = {
        "name": "Bank", "kind": "bank", "columns": COLUMNS, "date_order": "dmy", "decimal_mark": "comma",
        "currency": "EUR", "line_id": line and line["id"], **more,
    }  # fmt: skip
    created = await client.post("/v1/statement-mappings", json=asked)
    assert created.status_code == 201, created.text
    found: Json = created.json()
    return found


async def upload(client: httpx.AsyncClient, mapping: Json, data: bytes | str, **more: Any) -> httpx.Response:
    sent = data.encode() if isinstance(data, str) else data
    return await client.post(
        "/v1/statements", data={"mapping_id": mapping["id"], **more}, files={"file": ("statement.csv", sent)}
    )


@pytest.fixture
def bring_in(apps: dict[str, FastAPI], budget: httpx.AsyncClient) -> Import:
    """Uploads a file and runs what that begins; the import as it is afterwards."""

    async def brought(mapping: Json, data: bytes | str, **more: Any) -> Json:
        created = await upload(budget, mapping, data, **more)
        assert created.status_code == 201, created.text
        assert created.json()["state"] == "pending"
        return await settled(apps, budget, created.json())

    return brought


async def settled(apps: dict[str, FastAPI], client: httpx.AsyncClient, statement: Json) -> Json:
    await apps["budget"].state.runner.run_due()
    found: Json = (await client.get(f"/v1/statements/{statement['id']}")).json()
    return found


async def rows_of(client: httpx.AsyncClient, statement: Json, **asked: Any) -> list[Json]:
    query = {"statement_id": statement["id"], "limit": 200, **asked}
    answer = await client.get("/v1/statement-rows", params=query)
    assert answer.status_code == 200, answer.text
    found: list[Json] = answer.json()["items"]
    return found


def counts(statement: Json) -> tuple[int, ...]:
    return tuple(statement[name] for name in ("posted", "exceptions", "duplicates", "bad"))


def told(rows: list[Json]) -> dict[int, tuple[str, str | None]]:
    return {row["number"]: (row["outcome"], row["code"]) for row in rows}


async def test_good_rows_are_posted_and_each_other_row_says_why(
    budget: httpx.AsyncClient, line: Json, bring_in: Import
) -> None:
    mapping = await save_mapping(budget, line)
    statement = await bring_in(
        mapping,
        f"Account 4711\n\n{HEADER}\n"
        "01.06.2026;10,50;Ads;R1;clicks;;\n"  # row 4
        "02.06.2026;1.000,00;Ads;R2;too much;;\n"
        "31.02.2026;1,00;Ads;R3;no such day;;\n"
        "03.06.2026;twelve;Ads;R4;no amount;;\n"
        ";;;;;;\n"
        "04.06.2026;2,00;Ads;R5;;;No such line\n"
        "01.06.2026;10,50;Ads;R1;clicks;;\n"
        "05.06.2026;3,00;Ads;R6;;PO-9;\n"
        "06.06.2026;4,00;Ads;R7;=cmd();;E-mail\n",
    )
    assert (statement["state"], statement["rows"], statement["seen"]) == ("done", 8, 8)
    assert counts(statement) == (2, 3, 1, 2)
    rows = await rows_of(budget, statement)
    assert told(rows) == {
        4: ("posted", None), 5: ("exception", "does_not_fit"), 6: ("bad", "not_a_date"), 7: ("bad", "not_an_amount"),
        9: ("exception", "unknown_line"), 10: ("duplicate", "duplicate"), 11: ("exception", "unknown_order"),
        12: ("posted", None),
    }  # fmt: skip
    by_number = {row["number"]: row for row in rows}
    assert by_number[10]["duplicate_of"] == by_number[4]["id"]
    assert (by_number[6]["field"], by_number[7]["field"]) == ("date", "amount")
    assert all(row["message"] for row in rows if row["outcome"] != "posted")
    assert by_number[4]["amount"] == money("10.50")
    assert (await pots(budget, line))["actual"] == "14.50"
    entries = (await budget.get("/v1/entries", params={"line_id": line["id"], "sort": "-id"})).json()["items"]
    assert {entry["subject_id"] for entry in entries if entry["kind"] == "actual"} == {statement["id"]}
    assert [row["number"] for row in await rows_of(budget, statement, outcome="bad")] == [6, 7]
    assert [row["number"] for row in await rows_of(budget, statement, code="does_not_fit")] == [5]
    await sound(budget)


async def test_the_same_file_again_changes_nothing_and_brings_what_fits_by_then(
    budget: httpx.AsyncClient, line: Json, bring_in: Import
) -> None:
    mapping = await save_mapping(budget, line)
    file = f"{HEADER}\n01.06.2026;60,00;Ads;;a;;\n02.06.2026;60,00;Ads;;b;;\n03.06.2026;x;Ads;;c;;\n"
    assert counts(await bring_in(mapping, file)) == (1, 1, 0, 1)
    before = await pots(budget, line)
    assert counts(await bring_in(mapping, file)) == (0, 1, 1, 1)
    assert await pots(budget, line) == before
    await allot(budget, line, "50")
    other = await save_mapping(
        budget, line, name="The same, wider", currency=None, columns={**COLUMNS, "currency": "Cur"}
    )
    wider = f"{HEADER};Cur\n02.06.2026;60,00;Ads;;b;;;EUR\n01.06.2026;60,00;Ads;;a;;;EUR\n"
    assert counts(await bring_in(other, wider)) == (1, 0, 1, 0)
    assert (await pots(budget, line))["actual"] == "120.00"
    await sound(budget)


async def test_two_uploads_at_once_post_each_row_once(
    apps: dict[str, FastAPI], budget: httpx.AsyncClient, line: Json, workspace: Workspace
) -> None:
    mapping = await save_mapping(budget, line)
    rows = [f"01.06.2026;0,{cents:02};Ads;R{cents};;;" for cents in range(1, 60)]
    files = ["\n".join([HEADER, *rows]), "\n".join([HEADER, *reversed(rows)])]
    sent = [(await upload(budget, mapping, file)).json() for file in files]
    ids = [UUID(each["id"]) for each in sent]

    async def step(statement_id: UUID) -> None:
        async with apps["budget"].state.database.tenant(workspace.id) as session:
            await actions.go_on(session, statement_id)

    for _ in range(2):
        await asyncio.gather(*map(step, ids))
    found = [counts((await budget.get(f"/v1/statements/{each}")).json()) for each in ids]
    assert [sum(each) for each in zip(*found, strict=True)] == [59, 0, 59, 0]
    assert (await pots(budget, line))["actual"] == "17.70"
    await sound(budget)


async def test_a_dry_run_says_what_would_happen_and_posts_nothing(
    apps: dict[str, FastAPI], budget: httpx.AsyncClient, person: Person, line: Json, bring_in: Import,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    # A chunk finds the line as the one before would have left it.
    monkeypatch.setattr("services.budget.statement.reading.CHUNK", 2)
    request = await order(person, line, "20", vendor="Studio")
    mapping = await save_mapping(budget, line)
    file = (
        f"{HEADER}\n01.06.2026;40,00;Ads;R1;;;\n01.06.2026;15,00;Studio;R2;;{request['po_number']};\n"
        "02.06.2026;30,00;Ads;R3;;;\n03.06.2026;30,00;Ads;R4;;;\n04.06.2026;30,00;Ads;R3;;;\n02.06.2026;30,00;Ads;R3;;;\n"
    )
    before = await pots(budget, line)
    checked = await bring_in(mapping, file, dry_run="true")
    assert (checked["state"], checked["dry_run"], checked["posted_by"]) == ("done", True, None)
    said = told(await rows_of(budget, checked))
    assert said == {
        2: ("posted", None), 3: ("posted", None), 4: ("posted", None), 5: ("exception", "does_not_fit"),
        6: ("exception", "does_not_fit"), 7: ("duplicate", "duplicate"),
    }  # fmt: skip
    assert await pots(budget, line) == before
    assert (await budget.get("/v1/invoices")).json()["items"] == []
    answer = await budget.post(f"/v1/statements/{checked['id']}/post")
    assert answer.status_code == 200, answer.text
    posted = await settled(apps, budget, checked)
    assert (posted["state"], posted["dry_run"], counts(posted)) == ("done", False, counts(checked))
    assert told(await rows_of(budget, posted)) == said
    assert (await pots(budget, line))["actual"] == "85.00"
    again = await budget.post(f"/v1/statements/{checked['id']}/post")
    assert (again.status_code, again.json()["code"]) == (409, "not_dry_run")
    await sound(budget)


@pytest.mark.parametrize("seed", [1, 2, 4])
async def test_a_dry_run_says_of_each_row_what_posting_does_however_the_rows_before_it_leave_orders_and_lines(
    apps: dict[str, FastAPI], budget: httpx.AsyncClient, person: Person, line: Json, bring_in: Import,
    monkeypatch: pytest.MonkeyPatch, seed: int,
) -> None:  # fmt: skip
    monkeypatch.setattr("services.budget.statement.reading.CHUNK", 2)
    for day, rate in (("2026-06-15", "1"), ("2026-06-01", "0.8"), ("2026-06-02", "1.25")):
        assert (await budget.post("/v1/rates", json={"csv": f"Date,USD\n{day},{rate}\n"})).status_code == 201
    await allot(budget, line, "10")
    numbers = [(await order(person, line, "30", "EUR", vendor="Studio"))["po_number"],
               (await order(person, line, "30", "USD", vendor="Printer"))["po_number"]]  # fmt: skip
    other = await open_line(budget, low_percent=0)
    await allot(budget, other, "30")
    items = [{"line_id": each["id"], "amount": money(part)} for each, part in ((line, "10"), (other, "30"))]
    numbers.append((await order(person, line, "40", vendor="Both", items=items))["po_number"])
    chosen = random.Random(seed)
    rows = []
    for place in range(16):
        amount, number = chosen.choice([3, 7, 12, 20]), chosen.choice([*numbers, ""])
        vendor = chosen.choice(["Studio", "Ads"]) if not number else ""
        currency = "USD" if number == numbers[1] else "EUR"
        rows.append(f"0{place % 2 + 1}.06.2026;{currency} {amount},00;{vendor};R{place};;{number};")
    mapping = await save_mapping(budget, line, currency=None)
    before = [await pots(budget, each) for each in (line, other)]
    checked = await bring_in(mapping, "\n".join([HEADER, *rows]), dry_run="true")
    said = told(await rows_of(budget, checked))
    assert [await pots(budget, each) for each in (line, other)] == before
    await sound(budget)
    await budget.post(f"/v1/statements/{checked['id']}/post")
    posted = await settled(apps, budget, checked)
    assert told(await rows_of(budget, posted)) == said
    assert (await pots(budget, other))["actual"] != "0.00"
    assert {code for _, code in said.values()} >= {None, "over_tolerance"}
    await sound(budget)


async def test_an_import_that_keeps_failing_says_why_and_goes_on_or_back_when_somebody_says_so(
    apps: dict[str, FastAPI], budget: httpx.AsyncClient, line: Json, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr("services.budget.statement.reading.CHUNK", 2)
    mapping = await save_mapping(budget, line)
    real = post_rows

    async def fails(session: Any, statement: Any, *rest: Any) -> Any:
        if statement.position:
            raise ValueError("no room for 'Ada'")
        return await real(session, statement, *rest)

    async def given_up() -> Json:
        monkeypatch.setattr(actions, "post_rows", fails)
        file = "\n".join([HEADER, *(f"01.06.2026;1,00;Ads;R{each};;;" for each in range(5))])
        sent = (await upload(budget, mapping, file)).json()
        for _ in range(MOST_ATTEMPTS):
            await apps["budget"].state.runner.run_due()
            assert (await budget.get(f"/v1/statements/{sent['id']}")).json()["state"] != "done"
            clock.forward(minutes=11)
        monkeypatch.setattr(actions, "post_rows", real)
        return await settled(apps, budget, sent)

    failed = await given_up()
    assert (failed["state"], failed["problem"], failed["seen"], failed["posted"]) == ("failed", "given_up", 2, 2)
    assert failed["message"] == "it stopped after 2 rows: ValueError: no room for …"
    assert failed["finished_at"]
    assert (await budget.post(f"/v1/statements/{failed['id']}/resume")).json()["state"] == "running"
    done = await settled(apps, budget, failed)
    assert (done["state"], done["problem"], done["posted"]) == ("done", None, 5)
    assert (await pots(budget, line))["actual"] == "5.00"
    again = await budget.post(f"/v1/statements/{failed['id']}/resume")
    assert (again.status_code, again.json()["code"]) == (409, "not_given_up")
    await budget.post(f"/v1/statements/{done['id']}/undo", json={"reason": "x"})
    await settled(apps, budget, done)

    failed = await given_up()
    assert (await budget.post(f"/v1/statements/{failed['id']}/undo", json={"reason": "x"})).status_code == 200
    undone = await settled(apps, budget, failed)
    assert (undone["state"], undone["undone"]) == ("undone", 2)
    assert (await pots(budget, line))["actual"] == "0.00"
    await sound(budget)


async def test_debits_and_credits_may_stand_in_columns_of_their_own(
    budget: httpx.AsyncClient, line: Json, bring_in: Import
) -> None:
    columns = {"date": "Date", "debit": "Out", "credit": "In", "reference": "Ref"}
    mapping = await save_mapping(budget, line, columns=columns)
    assert (mapping["columns"]["amount"], mapping["columns"]["debit"]) == (None, "Out")
    statement = await bring_in(
        mapping,
        "Date;Out;In;Ref\n01.06.2026;12,50;;A\n02.06.2026;0,00;2,50;B\n03.06.2026;1,00;1,00;C\n04.06.2026;;;D\n",
    )
    rows = await rows_of(budget, statement)
    assert told(rows) == {
        2: ("posted", None), 3: ("posted", None), 4: ("bad", "debit_and_credit"), 5: ("bad", "missing")
    }  # fmt: skip
    assert [row["field"] for row in rows] == [None, None, "debit", "debit"]
    assert (await pots(budget, line))["actual"] == "10.00"
    for wrong in ({"debit": "Out", "amount": "A"}, {"credit": "In"}, {"credit": "In", "amount": "A"}, {}):
        asked = {"name": "x", "kind": "bank", "columns": {"date": "Date", **wrong}}
        assert wrong_fields(await budget.post("/v1/statement-mappings", json=asked)) == ["columns"]


async def test_a_row_with_an_orders_number_is_its_invoice_and_counts_once(
    budget: httpx.AsyncClient, person: Person, line: Json, bring_in: Import
) -> None:
    request = await order(person, line, "60", vendor="Studio")
    unnamed = await order(person, line, "10", vendor="Printer")
    by_hand = await bring(person("ada"), line, "5", number="H1", vendor="Studio", request_id=request["id"])
    mapping = await save_mapping(budget, line)
    number = request["po_number"]
    statement = await bring_in(
        mapping,
        f"{HEADER}\n01.06.2026;40,00;Studio;I1;;{number};\n01.06.2026;50,00;Studio;I2;;{number};\n"
        f"02.06.2026;5,00;Studio;H1;;{number};\n02.06.2026;-5,00;Studio;C1;;{number};\n"
        "03.06.2026;10,00;Printer;P1;;;\n",
    )
    rows = {row["number"]: row for row in await rows_of(budget, statement)}
    assert told(list(rows.values())) == {
        2: ("posted", None), 3: ("exception", "over_tolerance"), 4: ("duplicate", "invoice_exists"),
        5: ("exception", "credit_of_order"), 6: ("posted", None),
    }  # fmt: skip
    assert rows[4]["invoice_id"] == by_hand["id"]
    invoices = {row["id"]: row for row in (await budget.get("/v1/invoices")).json()["items"]}
    assert [invoices[rows[each]["invoice_id"]]["state"] for each in (2, 3, 6)] == ["posted", "exception", "posted"]
    assert invoices[rows[6]["invoice_id"]]["request_id"] == unnamed["id"]
    assert await pots(budget, line) == {
        "reserved": "0.00", "committed": "20.00", "actual": "50.00", "available": "30.00"
    }  # fmt: skip
    await sound(budget)


async def test_rows_of_one_invoice_are_told_apart(
    budget: httpx.AsyncClient, person: Person, line: Json, bring_in: Import
) -> None:
    request = await order(person, line, "60", vendor="Studio")
    mapping = await save_mapping(budget, line)
    file = f"{HEADER}\n" + "".join(f"01.06.2026;{each},00;Studio;I1;;{request['po_number']};\n" for each in (10, 20))
    assert counts(await bring_in(mapping, file)) == (2, 0, 0, 0)
    invoices = (await budget.get("/v1/invoices")).json()["items"]
    assert sorted(each["number"] for each in invoices) == ["I1", "I1 (2)"]
    assert counts(await bring_in(mapping, file)) == (0, 0, 2, 0)


async def test_an_import_is_undone_as_a_whole_and_can_come_again(
    apps: dict[str, FastAPI], budget: httpx.AsyncClient, person: Person, line: Json, bring_in: Import,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("services.budget.statement.actions.CHUNK", 2)
    request = await order(person, line, "20", vendor="Studio")
    before = await pots(budget, line)
    mapping = await save_mapping(budget, line)
    number = request["po_number"]
    file = (
        f"{HEADER}\n01.06.2026;40,00;Ads;R1;;;\n02.06.2026;-5,00;Ads;R2;;;\n03.06.2026;20,00;Studio;I1;;{number};\n"
        f"04.06.2026;20,00;Studio;I2;;{number};\n05.06.2026;1,00;Ads;R3;;;\n"
    )
    statement = await bring_in(mapping, file)
    assert counts(statement) == (4, 1, 0, 0)
    asked = await budget.post(f"/v1/statements/{statement['id']}/undo", json={"reason": "wrong account"})
    assert asked.status_code == 200, asked.text
    undone = await settled(apps, budget, statement)
    assert (undone["state"], undone["undone"], counts(undone)) == ("undone", 5, (0, 0, 0, 0))
    assert await pots(budget, line) == before
    assert {row["outcome"] for row in await rows_of(budget, undone)} == {"undone"}
    assert {row["state"] for row in (await budget.get("/v1/invoices")).json()["items"]} == {"reversed", "rejected"}
    again = await budget.post(f"/v1/statements/{statement['id']}/undo", json={"reason": "wrong account"})
    assert (again.status_code, again.json()["code"]) == (409, "not_done")
    assert counts(await bring_in(mapping, file)) == (4, 1, 0, 0)
    await sound(budget)


async def test_what_a_line_cannot_give_back_stays_posted(
    apps: dict[str, FastAPI], budget: httpx.AsyncClient, line: Json, bring_in: Import
) -> None:
    mapping = await save_mapping(budget, line)
    await bring_in(mapping, f"{HEADER}\n01.06.2026;50,00;Ads;R1;;;\n")
    refunds = await bring_in(mapping, f"{HEADER}\n02.06.2026;(40,00);Ads;R2;;;\n")
    await bring_in(mapping, f"{HEADER}\n03.06.2026;85,00;Ads;R3;;;\n")
    await budget.post(f"/v1/statements/{refunds['id']}/undo", json={"reason": "why not"})
    kept = await settled(apps, budget, refunds)
    assert (kept["state"], kept["undone"], kept["posted"]) == ("done", 0, 1)
    assert told(await rows_of(budget, kept)) == {2: ("posted", "does_not_fit")}
    await sound(budget)


async def test_no_more_comes_back_than_was_spent(budget: httpx.AsyncClient, line: Json, bring_in: Import) -> None:
    mapping = await save_mapping(budget, line, spending="negative")
    statement = await bring_in(mapping, f"{HEADER}\n01.06.2026;50,00;Ads;R1;;;\n02.06.2026;-20,00;Ads;R2;;;\n")
    assert told(await rows_of(budget, statement)) == {2: ("exception", "not_spent"), 3: ("posted", None)}
    assert (await pots(budget, line))["available"] == "80.00"


async def test_an_import_that_is_killed_goes_on_where_it_was(
    apps: dict[str, FastAPI], budget: httpx.AsyncClient, line: Json, monkeypatch: pytest.MonkeyPatch,
    workspace: Workspace,
) -> None:  # fmt: skip
    monkeypatch.setattr("services.budget.statement.reading.CHUNK", 2)
    mapping = await save_mapping(budget, line)
    file = "\n".join([HEADER, *(f"01.06.2026;1,00;Ads;R{each};;;" for each in range(5))])
    statement = UUID((await upload(budget, mapping, file)).json()["id"])
    database = apps["budget"].state.database

    class KilledError(Exception):
        """What ends a process in the middle."""

    async def step(*, killed: bool) -> None:
        async with database.tenant(workspace.id) as session:
            await actions.go_on(session, statement)
            if killed:
                raise KilledError

    for _ in range(4):
        with pytest.raises(KilledError):
            await step(killed=True)
        await step(killed=False)
    found = (await budget.get(f"/v1/statements/{statement}")).json()
    assert (found["state"], found["posted"]) == ("done", 5)
    assert (await pots(budget, line))["actual"] == "5.00"
    await step(killed=False)
    assert (await pots(budget, line))["actual"] == "5.00"
    async with database.tenant(workspace.id) as session:
        assert await session.scalar(text("SELECT count(*) FROM statement_part")) == 0
    await sound(budget)


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        (b"Date;Amount\n01.06.2026;1,00\n", "missing_columns"), (HEADER.encode(), "empty"),
        (b"\x81\x8d\x8f\x90\x9d", "encoding"), (b"PK\x03\x04 and no more", "not_a_table"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "not_a_table"),
    ],
)  # fmt: skip
async def test_a_file_that_is_no_such_table_fails_with_its_reason(
    budget: httpx.AsyncClient, line: Json, bring_in: Import, file: bytes, problem: str
) -> None:
    statement = await bring_in(await save_mapping(budget, line), file)
    assert (statement["state"], statement["problem"], statement["rows"]) == ("failed", problem, 0)
    assert statement["message"]


async def test_a_workbook_is_read_with_its_merged_cells(
    budget: httpx.AsyncClient, line: Json, bring_in: Import
) -> None:
    from datetime import date

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Spend"
    for row in (
        ["Exported by", "Ads Manager"], [], ["Date", "Amount", "Payee"], [date(2026, 6, 1), 0.1 + 0.2, "Ads"],
        [None, 2.5, None], [date(2026, 6, 2), 3, "Ads"], [date(2026, 6, 3), None, "More"],
        ["Total", "=SUM(B4:B7)", None],
    ):  # fmt: skip
        sheet.append(row)
    for merged in ("A4:A5", "C4:C5", "B6:B7"):
        sheet.merge_cells(merged)
    written = io.BytesIO()
    book.save(written)
    mapping = await save_mapping(
        budget,
        line,
        columns={"date": "date", "amount": " AMOUNT", "vendor": "Payee"},
        sheet="Spend",
        decimal_mark="point",
    )
    statement = await bring_in(mapping, written.getvalue())
    rows = await rows_of(budget, statement)
    assert told(rows) == {
        4: ("posted", None), 5: ("posted", None), 6: ("posted", None), 7: ("bad", "merged"), 8: ("bad", "missing")
    }  # fmt: skip
    assert (rows[1]["date"], rows[1]["vendor"], rows[0]["amount"]) == ("2026-06-01", "Ads", money("0.30"))
    wrong = await save_mapping(budget, line, name="Elsewhere", sheet="Absent")
    assert (await bring_in(wrong, written.getvalue()))["problem"] == "unknown_sheet"


async def test_what_was_exported_is_safe_for_spreadsheets(
    budget: httpx.AsyncClient, line: Json, bring_in: Import
) -> None:
    mapping = await save_mapping(budget, line)
    statement = await bring_in(mapping, f"{HEADER}\n01.06.2026;-1,00;=cmd|' /C calc'!A0;@R1;+1;;\n")
    answer = await budget.get(f"/v1/statements/{statement['id']}/export")
    assert answer.status_code == 200, answer.text
    head, row = csv.reader(io.StringIO(answer.text))
    found = dict(zip(head, row, strict=True))
    assert (found["row"], found["vendor"][:2], found["reference"], found["description"]) == ("2", "'=", "'@R1", "'+1")
    absent = await budget.get(f"/v1/statements/{mapping['id']}/export")
    assert absent.status_code == 404


async def test_only_approvers_post_and_anybody_who_writes_checks(
    connect: Connect, workspace: Workspace, budget: httpx.AsyncClient, line: Json
) -> None:
    specialist = connect("budget", workspace, "specialist")
    mapping = await save_mapping(specialist, line)
    refused = await upload(specialist, mapping, "x")
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    assert (await upload(specialist, mapping, "x", dry_run="true")).status_code == 201
    assert (await upload(connect("budget", workspace, "stakeholder"), mapping, "x")).status_code == 403


async def test_an_upload_that_makes_no_sense_is_refused_by_its_field(
    apps: dict[str, FastAPI], budget: httpx.AsyncClient, line: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapping = await save_mapping(budget, line)
    assert wrong_fields(await upload(budget, {"id": line["id"]}, "x")) == ["mapping_id"]
    assert wrong_fields(await upload(budget, mapping, "")) == ["file"]
    assert wrong_fields(await upload(budget, mapping, "x", colour="red")) == ["colour"]
    assert wrong_fields(await budget.post("/v1/statements", files={"other": ("a", b"x")})) == ["file"]
    assert (await budget.post("/v1/statements", json={})).status_code == 415
    broken = {"Content-Type": "multipart/form-data; boundary=b"}
    assert (await budget.post("/v1/statements", content=b"nonsense", headers=broken)).status_code == 422
    monkeypatch.setattr(apps["budget"].state.settings, "statement_limit", 1000)
    assert (await upload(budget, mapping, "x" * 2000)).status_code == 413


async def test_a_mapping_is_edited_and_what_came_before_reads_on_as_it_was(
    apps: dict[str, FastAPI], budget: httpx.AsyncClient, line: Json
) -> None:
    mapping = await save_mapping(budget, line, lines=[{"value": "4711", "line_id": line["id"]}])
    sent = (await upload(budget, mapping, f"{HEADER}\n01.06.2026;1,50;Ads;;;;4711\n")).json()
    patch = {"columns": {**COLUMNS, "amount": "Sum"}, "lines": []}
    path = f"/v1/statement-mappings/{mapping['id']}"
    edited = await budget.patch(path, json=patch, headers={"If-Match": str(mapping["version"])})
    assert edited.status_code == 200, edited.text
    assert (edited.json()["columns"]["amount"], edited.json()["lines"], edited.json()["version"]) == ("Sum", [], 2)
    assert counts(await settled(apps, budget, sent)) == (1, 0, 0, 0)
    assert (await budget.get(path)).json() == edited.json()
    assert (await budget.get("/v1/statement-mappings")).json()["items"] == [edited.json()]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"line_id": "01890a5d-ac96-774b-bcce-b302099a8057"}, "line_id"),
        ({"lines": [{"value": "a", "line_id": "01890a5d-ac96-774b-bcce-b302099a8057"}]}, "lines.0.line_id"),
        ({"columns": {"date": "Date"}}, "columns"), ({"currency": "XXZ"}, "currency"), ({"kind": "web"}, "kind"),
        ({"columns": {"date": "A", "amount": "a"}}, ""),
    ],
)  # fmt: skip
async def test_a_mapping_that_makes_no_sense_is_refused_by_its_field(
    budget: httpx.AsyncClient, changes: Json, field: str
) -> None:
    asked = {"name": "Bank", "kind": "bank", "columns": COLUMNS, "date_order": "dmy", **changes}
    answer = await budget.post("/v1/statement-mappings", json=asked)
    assert field in " ".join(wrong_fields(answer))


async def test_rows_in_other_currencies_are_posted_at_the_rate_of_their_day(
    budget: httpx.AsyncClient, line: Json, bring_in: Import
) -> None:
    mapping = await save_mapping(budget, line, currency=None)
    imported = await budget.post("/v1/rates", json={"csv": "Date,USD\n2026-06-01,1.25\n"})
    assert imported.status_code == 201, imported.text
    statement = await bring_in(
        mapping, f"{HEADER}\n01.06.2026;$ 10,00;Ads;;;;\n01.06.2026;USD 10,00;Ads;;;;\n01.06.2026;10,00 XYZ;Ads;;;;\n"
    )
    assert told(await rows_of(budget, statement)) == {
        2: ("bad", "ambiguous_currency"), 3: ("posted", None), 4: ("bad", "unknown_currency")
    }  # fmt: skip
    assert (await pots(budget, line))["actual"] == "8.00"


async def test_days_of_closed_periods_are_exceptions(budget: httpx.AsyncClient, line: Json, bring_in: Import) -> None:
    calendar = (await budget.post("/v1/calendars", json={"name": "Fiscal", "scheme": "months"})).json()
    opened = await budget.post(f"/v1/calendars/{calendar['id']}/open-year", json={"year": 2026})
    january = opened.json()["periods"][0]
    closed = await budget.post(f"/v1/periods/{january['id']}/close")
    assert closed.status_code == 200, closed.text
    statement = await bring_in(
        await save_mapping(budget, line), f"{HEADER}\n31.01.2026;1,00;Ads;;;;\n01.02.2026;1,00;Ads;;;;\n"
    )
    assert told(await rows_of(budget, statement)) == {2: ("exception", "period_closed"), 3: ("posted", None)}


def test_what_waits_to_be_posted_is_what_was_read() -> None:
    assert rules.unpack(rules.pack([(1, None), (2, ["a", None])])) == [(1, None), (2, ["a", None])]
