"""What files promise: all that was asked for, in cells that no spreadsheet runs, without ever being held whole."""

import csv
import io
import random
import subprocess
import sys
from datetime import datetime
from typing import Any

import httpx
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.spreadsheet import FORMULA, csv_lines
from services.metrics.export import api as export_api
from services.metrics.export import store as export_store
from tests.metrics.conftest import Read, Sender
from tests.metrics.test_counting import once
from tests.metrics.test_series import random_events
from tests.parts import Connect, Workspace

SPAN = {"from": "2025-01-01", "to": "2027-01-01"}


@given(st.lists(st.text() | st.sampled_from(["=1+1", " =1", "+1", "-1", "@a", "\t=1", "\uff1d1"]), min_size=1))
def test_no_cell_is_a_formula_and_none_loses_a_character(cells: list[str]) -> None:
    (read,) = csv.reader(io.StringIO(csv_lines([cells]), newline=""))
    for cell, kept in zip(read, cells, strict=True):
        assert not cell.lstrip().startswith(FORMULA)
        assert cell in (kept, f"'{kept}")


def test_numbers_stay_numbers() -> None:
    assert csv_lines([[-5, 2.5, None, "-5"]]) == "-5,2.5,,'-5\r\n"


def lines(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def rows(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = pyarrow.parquet.read_table(io.BytesIO(answer.content)).to_pylist()
    return found


async def test_events_come_in_both_kinds_of_file_batch_by_batch(
    sendgrid: Sender,
    metrics: httpx.AsyncClient,
    connect: Connect,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events = once(random_events(random.Random(1), 60, []))
    evil = {**events[0], "email": "=cmd@example.com", "url": "=HYPERLINK(1)", "sg_message_id": "+1"}
    await sendgrid.tell(*events, evil)
    monkeypatch.setattr(export_store, "BATCH", 7)
    table = rows(await metrics.get("/v1/events/export", params={**SPAN, "format": "parquet"}))
    text = lines(await metrics.get("/v1/events/export", params=SPAN))
    assert len(table) == len(text) == len(events) + 1
    assert [each["occurred_at"] for each in table] == sorted(each["occurred_at"] for each in table)
    assert len({each["id"] for each in table}) == len(table)
    for row, line in zip(table, text, strict=True):
        assert row["id"] == line["id"]
        assert row["occurred_at"] == datetime.fromisoformat(line["occurred_at"])
    (unsafe,) = (each for each in text if each["recipient"].endswith("cmd@example.com"))
    assert (unsafe["recipient"], unsafe["message_id"]) == ("'=cmd@example.com", "'+1")
    assert unsafe["url"] == "'=HYPERLINK(1)"
    clicks = lines(await metrics.get("/v1/events/export", params={**SPAN, "type": "clicked"}))
    assert len(clicks) == sum(each["event"] == "click" for each in [*events, evil])
    nobody = lines(await connect("metrics", workspace, "stakeholder").get("/v1/events/export", params=SPAN))
    assert {each["recipient"] for each in nobody} == {""}
    assert lines(await metrics.get("/v1/events/export", params={"from": "2020-01-01", "to": "2020-01-02"})) == []
    wrong = await metrics.get("/v1/events/export", params={"from": "2020-01-01", "to": "2020-01-01"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "to")


async def test_a_series_comes_as_a_file_with_a_line_for_each_point(
    sendgrid: Sender, metrics: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sendgrid.tell(*random_events(random.Random(2), 200, []))
    monkeypatch.setattr(export_api, "MOST_POINTS", 30)
    asked = {**SPAN, "grain": "month", "group_by": "message_id"}
    path = "/v1/metrics/email.ctr/series"
    series = (await metrics.get(path, params=asked)).json()["series"]
    expected = [
        (each["group"]["message_id"], point["start"], point["value"], point["numerator"], point["denominator"])
        for each in series for point in each["points"]
    ]  # fmt: skip
    assert len(expected) == 4 * 24
    table = rows(await metrics.get(f"{path}/export", params={**asked, "format": "parquet"}))
    names = ("group", "start", "value", "numerator", "denominator")
    assert [tuple(f"{each[name]}" if name == "start" else each[name] for name in names) for each in table] == expected
    text = lines(await metrics.get(f"{path}/export", params=asked))
    assert [(each["group"], each["start"], each["value"]) for each in text] == [
        (group, start, "" if value is None else str(value)) for group, start, value, *_ in expected
    ]
    assert {(each["metric"], each["version"], each["unit"]) for each in text} == {("email.ctr", "1", "percent")}
    assert (await metrics.get("/v1/metrics/email.nothing/series/export", params=asked)).status_code == 404
    assert (await metrics.get(f"{path}/export", params={**asked, "format": "xlsx"})).status_code == 422


async def test_money_is_as_exact_in_files_as_in_a_series(metrics: httpx.AsyncClient, points: Read) -> None:
    own = {"key": "shop.revenue", "name": "Revenue", "unit": "money", "observed": "sum"}
    assert (await metrics.post("/v1/metrics", json=own)).status_code == 201
    for number in range(3):
        money = {"amount": "9999999999999999.97", "currency": "EUR"}
        figure = {"metric": "shop.revenue", "day": "2026-03-01", "money": money, "reference": f"{number}"}
        assert (await metrics.post("/v1/observations", json=figure)).status_code == 201
    (point,) = await points("shop.revenue")
    path, asked = "/v1/metrics/shop.revenue/series/export", {**SPAN, "from": "2026-01-01", "grain": "total"}
    (line,) = lines(await metrics.get(path, params=asked))
    (row,) = rows(await metrics.get(path, params={**asked, "format": "parquet"}))
    assert line["money"] == str(row["money"])[:-2] == point["money"]["amount"] == "29999999999999999.91"
    assert line["currency"] == row["currency"] == "EUR"


def test_parquet_costs_nothing_to_who_never_asks_for_it() -> None:
    code = "import services.metrics.app, sys; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
