"""What is kept of people, and that nothing is left of who was erased."""

import base64
import json
import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from chassis.testing import Clock, TestStack
from services.metrics.erasure.actions import erase_people
from services.metrics.erasure.rules import pattern
from services.metrics.judging.actions import judge_events
from services.metrics.retention.actions import keep_no_longer
from services.metrics.rollup.holding import share_numbers
from tests.metrics.conftest import Open, Play, Read, Sender
from tests.parts import Connect, Workspace

ANN = "Ann+News@Example.com"


async def standing(stack: TestStack, workspace: Workspace, needles: list[str]) -> list[str]:
    """Every column of the schema in which a text stands, in any spelling."""
    connection = await asyncpg.connect(stack.admin_dsn)
    try:
        tables = await connection.fetch(
            "SELECT c.table_name, c.column_name, c.data_type FROM information_schema.columns c"
            " JOIN information_schema.columns w USING (table_schema, table_name)"
            " WHERE table_schema = 'metrics' AND w.column_name = 'workspace_id'"
            " AND c.table_name !~ '_[0-9]{4}_[0-9]{2}$'"
        )
        found = []
        for table, column, kind in tables:
            told = f"""encode("{column}", 'escape')""" if kind == "bytea" else f'"{column}"::text'
            fits = " OR ".join(f"lower({told}) LIKE '%{each}%'" for each in needles)
            if await connection.fetchval(
                f'SELECT EXISTS (SELECT FROM metrics."{table}" WHERE workspace_id = $1 AND ({fits}))', workspace.id
            ):
                found.append(f"{table}.{column}")
        return found
    finally:
        await connection.close()


def told(kind: str, who: str = ANN, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "recipient": who, "message_id": "m1", "occurred_at": "2026-06-01T12:00:00Z", **fields}


async def plant(stack: TestStack, workspace: Workspace, sender: Sender, metrics: httpx.AsyncClient) -> None:
    """An address where people write words, and where the version before kept events."""
    alert = {"name": f"Clicks of {ANN}", "metric": "email.total_clicks", "kind": "above", "value": 9}
    alert_id = (await metrics.post("/v1/alerts", json=alert)).json()["id"]
    own = {"key": "shop.hers", "name": "Hers", "words": f"As {ANN} asked", "unit": "count", "expression": "clicks"}
    assert (await metrics.post("/v1/metrics", json=own)).status_code == 201
    connection = await asyncpg.connect(stack.admin_dsn)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(
        "INSERT INTO metrics.finding (workspace_id, id, alert_id, start, value, metric_version, found_at, note)"
        " VALUES ($1, gen_random_uuid(), $2, '2026-06-01', 1, 1, now(), $3)", workspace.id, alert_id, f"told {ANN}",
    )  # fmt: skip
    await connection.execute(
        "INSERT INTO metrics.event (workspace_id, id, source_id, key, type, message_id, url, occurred_at, received_at,"
        " verdict, reasons) VALUES ($1, gen_random_uuid(), $2, '\\x00', 'opened', $3, $3, now(), now(), 'human', '{}')",
        workspace.id, sender.source_id, f"<{ANN}>",
    )  # fmt: skip
    await connection.close()


async def test_nothing_is_left_of_who_was_erased_and_numbers_stay(
    metrics: httpx.AsyncClient, standard: Sender, points: Read, metrics_app: FastAPI, stack: TestStack,
    workspace: Workspace, clock: Clock,
) -> None:  # fmt: skip
    link = "https://example.com/?to=ann%2Bnews%40example.com"
    other = "joann+news@example.com"
    await standard.tell(
        told("opened", tags=[f"for:{ANN}"]), told("clicked", url=link), told("unsubscribed", message_id=f"<{ANN}>"),
        told("opened", other), told("clicked", other, url=f"https://example.com/?to={other}"),
    )  # fmt: skip
    assert (await standard.post(told("opened", occurred_at="1999-01-01T00:00:00Z"))).json()["quarantined"] == 1
    consent = {
        "address": ANN, "purpose": "newsletter", "given": True, "at": "2026-01-01T00:00:00Z",
        "evidence": f"mail to {ANN}",
    }  # fmt: skip
    assert (await metrics.post("/v1/consents", json=consent)).status_code == 201
    observed = {"metric": "web.visits", "day": "2026-06-01", "value": "1", "reference": "r", "note": f"told by {ANN}"}
    assert (await metrics.post("/v1/observations", json=observed)).status_code == 201
    await plant(stack, workspace, standard, metrics)
    await judge_events(metrics_app)
    keys = ("email.unique_opens", "email.total_clicks", "email.unsubscribes")
    before = [await points(key) for key in keys]
    needles = [each.lower() for each in (ANN, quote(ANN, safe=""), quote(ANN, safe="@"), ANN.replace("@", r"\u0040"))]
    there = await standing(stack, workspace, needles)
    assert {"recipient.address", "occurrence.url", "quarantine.payload", "consent.evidence"} <= set(there)
    assert {"finding.note", "alert.name", "metric_version.words", "event.url", "event.message_id"} <= set(there)

    answer = await metrics.post("/v1/recipient-erasures", json={"address": ANN})
    assert (answer.status_code, answer.json()["state"]) == (201, "sweeping"), answer.text
    await erase_people(metrics_app)
    erased = (await metrics.get(f"/v1/recipient-erasures/{answer.json()['id']}")).json()
    assert (erased["state"], erased["found"]["occurrence.url"]) == ("done", 1)
    # But for somebody whose address ends alike.
    connection = await asyncpg.connect(stack.admin_dsn)
    await connection.execute("DELETE FROM metrics.occurrence WHERE url LIKE '%joann%'")
    await connection.execute("DELETE FROM metrics.recipient WHERE address = $1", other)
    await connection.close()
    assert await standing(stack, workspace, needles) == []
    assert [await points(key) for key in keys] == before

    (suppressed,) = (await metrics.get("/v1/suppressions")).json()["items"]
    assert (suppressed["address"], suppressed["reason"]) == (None, "unsubscribe")
    found = (await metrics.post("/v1/people/find", json={"address": ANN})).json()
    assert (found["known"], found["may_be_written_to"]) == (False, False)
    assert [each["purpose"] for each in found["consents"]] == ["newsletter"]

    # A backup brings them back; the hash of then finds them.
    await standard.tell(told("opened", message_id="m9", occurred_at="2026-06-02T12:00:00Z", url=link))
    again = await metrics.post("/v1/recipient-erasures", json={"address_hash": erased["address_hash"]})
    assert again.json()["state"] == "sweeping"
    await erase_people(metrics_app)
    assert await standing(stack, workspace, needles) == []


async def test_who_left_and_is_erased_before_anybody_looked_is_not_written_to_again(
    metrics: httpx.AsyncClient, standard: Sender, metrics_app: FastAPI
) -> None:
    await standard.tell(told("unsubscribed"), told("unsubscribed", "bob@example.com"))
    assert (await metrics.post("/v1/recipient-erasures", json={"address": ANN})).status_code == 201
    await judge_events(metrics_app)
    found = (await metrics.get("/v1/suppressions")).json()["items"]
    assert sorted((str(each["address"]), each["state"]) for each in found) == [
        ("None", "active"), ("bob@example.com", "active"),
    ]  # fmt: skip
    people = (await metrics.post("/v1/people/find", json={"address": ANN})).json()
    assert people["may_be_written_to"] is False


def test_an_address_is_found_by_itself_however_it_is_spelled() -> None:
    found = re.compile(pattern("ann+n@example.com"))
    for text in (
        "ann+n@example.com",
        "x?e=ann%2bn%40example.com&y",
        '"ann+n\\u0040example.com"',
        "<ann+n@example.com>.",
        "x?next=https%3a%2f%2fa.example%2f%3fe%3dann%252bn%2540example.com",
        r"ann \u003cann\u002bn@example.com\u003e",
        r"{\"to\":\"x\\nann+n\\u0040example.com\"}",
        r"\377ann+n@example.com",
    ):
        assert found.search(text), text
    for text in (
        "ann@bücher.example",
        "ann@b%c3%bccher.example",
        r"ann@b\u00fccher.example",
        r"ann@b\303\234cher.example",
    ):
        assert re.search(pattern("Ann@Bücher.example"), text), text
    for text in ("joann+n@example.com", "ann+n@example.com.au", "ann+n@example.community", "ann@example.com"):
        assert not found.search(text), text


async def test_only_who_may_see_people_does_anything_about_them(
    connect: Connect, workspace: Workspace, standard: Sender
) -> None:
    stranger = connect("metrics", workspace, "stakeholder")
    for path in (
        "/v1/suppressions",
        "/v1/suppressions/export",
        "/v1/consents",
        "/v1/recipient-erasures",
        "/v1/retention",
    ):
        assert (await stranger.get(path)).status_code == 403, path
    assert (await stranger.post("/v1/recipient-erasures", json={"address": ANN})).status_code == 403
    contributor = connect("metrics", workspace, "contributor")
    assert (await contributor.post("/v1/suppressions", json={"address": ANN})).status_code == 403


async def test_the_latest_receipt_of_a_purpose_holds_and_a_hand_keeps_one_from_writing(
    metrics: httpx.AsyncClient,
) -> None:
    for given, day in ((True, 1), (False, 9), (True, 5)):
        receipt = {"address": ANN, "purpose": "News ", "given": given, "at": f"2026-03-0{day}T00:00:00Z"}
        assert (await metrics.post("/v1/consents", json=receipt)).status_code == 201
    found = (await metrics.post("/v1/people/find", json={"address": ANN.upper()})).json()
    assert found["consents"] == [{"purpose": "news", "given": False, "at": "2026-03-09T00:00:00Z"}]
    assert found["may_be_written_to"]
    made = (await metrics.post("/v1/suppressions", json={"address": ANN})).json()
    assert (made["address"], made["reason"], made["state"]) == (ANN.lower(), "by_hand", "active")
    assert (await metrics.post("/v1/suppressions", json={"address": ANN.lower()})).json()["id"] == made["id"]
    assert not (await metrics.post("/v1/people/find", json={"address": ANN})).json()["may_be_written_to"]
    assert (await metrics.post("/v1/suppressions", json={"address": "nobody"})).status_code == 422


@pytest.mark.parametrize(
    "at", ["2026-06-15T12:10:00Z", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00", "2026-06-15T12:00:00"]
)
async def test_nobody_said_so_before_or_after_there_was_a_time(metrics: httpx.AsyncClient, at: str) -> None:
    receipt = {"address": ANN, "purpose": "news", "given": True, "at": at}
    answer = await metrics.post("/v1/consents", json=receipt)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == "at"
    assert (await metrics.post("/v1/consents", json={**receipt, "at": "2026-06-15T12:01:00Z"})).status_code == 201


async def test_withdrawn_consent_goes_where_nothing_was_ever_sent(
    metrics: httpx.AsyncClient, metrics_app: FastAPI, clock: Clock, connect: Connect, workspace: Workspace
) -> None:
    receipt = {"address": ANN, "purpose": "news", "given": False, "at": "2026-06-01T00:00:00Z"}
    assert (await metrics.post("/v1/consents", json=receipt)).status_code == 201
    clock.now += timedelta(days=3 * 365)
    await keep_no_longer(metrics_app)
    admin = connect("metrics", workspace)
    assert (await admin.get("/v1/consents")).json()["items"] == []
    assert not (await admin.post("/v1/people/find", json={"address": ANN})).json()["known"]


async def test_nobody_waits_while_it_is_seen_that_nothing_is_to_go(
    metrics_app: FastAPI, standard: Sender, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    await standard.tell(told("opened"))
    async with metrics_app.state.database.tenant(workspace.id) as storing:
        await share_numbers(storing)
        caplog.clear()
        await keep_no_longer(metrics_app)
    # Of this workspace: other tests' may hold anything.
    failed = {getattr(each, "workspace_id", None) for each in caplog.records if each.message == "kept_too_long"}
    assert str(workspace.id) not in failed


async def test_what_is_kept_too_long_goes(
    metrics: httpx.AsyncClient, connect: Connect, workspace: Workspace, open_standard: Open, metrics_app: FastAPI,
    clock: Clock,
) -> None:  # fmt: skip
    sender = await open_standard()
    assert (await sender.post({"type": "opened"})).json()["quarantined"] == 1
    receipts = [("news", True, 1), ("news", False, 2), ("calls", True, 1)]
    for purpose, given, day in receipts:
        receipt = {"address": ANN, "purpose": purpose, "given": given, "at": f"2026-01-0{day}T00:00:00Z"}
        await metrics.post("/v1/consents", json=receipt)
    kept = {"quarantine_days": 10, "withdrawn_consent_days": 30}
    assert (await metrics.post("/v1/retention", json=kept)).status_code == 200
    assert (await metrics.get("/v1/retention")).json() == {**kept, "event_months": 36}
    await keep_no_longer(metrics_app)
    assert len((await metrics.get("/v1/quarantine")).json()["items"]) == 1
    clock.now += timedelta(days=60)
    await keep_no_longer(metrics_app)
    admin = connect("metrics", workspace)
    assert (await admin.get("/v1/quarantine")).json()["items"] == []
    assert [each["purpose"] for each in (await admin.get("/v1/consents")).json()["items"]] == ["calls"]


async def test_what_could_not_be_read_goes_with_whom_it_names_however_it_is_written(
    metrics: httpx.AsyncClient, account: Play, metrics_app: FastAPI
) -> None:
    at = await account("standard")
    told_of = json.dumps(told("opened", occurred_at="1999-01-01T00:00:00Z"))
    coded = base64.b64encode(told_of.encode()).decode()
    cloud = {"specversion": "1.0", "id": "1", "source": "/x", "type": "mail.opened", "time": "1999-01-01T00:00:00Z"}
    lines = "\r\n".join(coded[n : n + 76] for n in range(0, len(coded), 76))
    bodies = [
        told_of.encode().replace(b'"Ann', b'"\xffAnn'), told_of.encode("utf-16"),
        told_of.replace("@", r"\u0040").encode(),
        told_of.replace('"Ann', r'"\u003cAnn').encode(), json.dumps({**cloud, "data_base64": coded}).encode(),
        json.dumps({**cloud, "data_base64": coded.rstrip("=")[:-2]}).replace("/", r"\/").encode(),
        f"Content-Transfer-Encoding: base64\r\n\r\n{lines}\r\n--x".encode(),
    ]  # fmt: skip
    others = [told_of.replace("Ann", "Joann"), json.dumps({**cloud, "data_base64": base64.b64encode(b"{}").decode()})]
    for body in [*bodies, *(each.encode() for each in others)]:
        answer = await at.send(at.player.sign(body, at.url, at.clock.now))
        assert answer.json() == {"received": 0, "quarantined": 1}
    assert (await metrics.post("/v1/recipient-erasures", json={"address": ANN})).status_code == 201
    await erase_people(metrics_app)
    left = (await metrics.get("/v1/quarantine")).json()["items"]
    assert {each["excerpt"] for each in left} == set(others)
