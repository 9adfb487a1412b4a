"""What the libraries' traps cost nobody here twice: each has a test that goes red without its cure.

| trap | where it is held |
| --- | --- |
| 1 a dependency commits after the answer | test_transactions: committed_before_its_answer_begins |
| 2, 3 a tenant stays in the pool; an old setting is '' | test_transactions: a_pooled_connection_forgets_its_tenant |
| 4 views, global keys, COPY, owners under FORCE | here; metrics/test_event, by every webhook, for COPY |
| 5 one metadata for all | here; test_migrations: a_schema_is_what_its_models_say |
| 6 tables skip validation | here |
| 7 lists of ids on a GET become a body | here |
| 8 decimals that change between answers | here; budget/test_ledger: money_has_the_places_of_its_currency |
| 9 greenlet isn't brought | here |
| 10 a pool that loses slots to cancelled calls | gateway/test_failures: survive_a_thousand_cancelled_calls |
| 11 limiters that take seconds | gateway/test_limits: the_limiter_looks_at_each_fragment_once |
| 12 NUL | test_problems, test_fields |
| 13 addresses that only look public | nothing calls addresses that others name, yet |
| 14 sequences commit out of order | test_outbox: arrive_in_order_however_many_write_at_once |
| 15 unique keys on tables parted by time | here, until there is one |
| 16 Python without ensurepip | here |
| 17 a peer that hangs up while it is reached, under uvloop | here |
"""

import asyncio
import socket
import struct
import threading
import tomllib
from contextlib import suppress
from pathlib import Path

import asyncpg
import httpx
import pytest
import uvloop
from sqlmodel import SQLModel

from chassis.stack import parts
from chassis.telemetry import http_client
from chassis.testing import TestStack
from deploy import install
from tests.gateway.conftest import bound, url_of
from tests.parts import APPS, METADATA

ROOT = Path(__file__).parent.parent.parent
# Not a workspace's rows, or found before a workspace is known; ids here are UUIDv7, which tell nothing of others'.
OF_NO_WORKSPACE = {"service_account", "signing_key", "work"}


@pytest.mark.parametrize("part", sorted(parts()))
async def test_no_view_and_no_key_reaches_across_workspaces(stack: TestStack, part: str) -> None:
    admin = await asyncpg.connect(stack.admin_dsn)
    views = await admin.fetch(
        """SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('v', 'm')
           AND NOT coalesce(reloptions::text, '') LIKE '%security_invoker=true%'""", part,
    )  # fmt: skip
    keys = await admin.fetch(
        """SELECT t.relname AS table, i.relname AS key FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
           JOIN pg_class t ON t.oid = x.indrelid JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = x.indkey[0]
           WHERE t.relnamespace = $1::regnamespace AND x.indisunique AND t.relname <> 'alembic_version'
           AND a.attname <> 'workspace_id'""", part,
    )  # fmt: skip
    parted = await admin.fetch(
        """SELECT c.relname AS table, pg_get_partkeydef(c.oid) AS by FROM pg_class c
           WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'p'""", part,
    )  # fmt: skip
    await admin.close()
    assert views == []
    assert [(row["table"], row["key"]) for row in keys if row["table"] not in OF_NO_WORKSPACE] == []
    # By their id, which is the event's own key and the same on every retry: what is unique is so over all parts.
    assert [(row["table"], row["by"]) for row in parted if (part, row["table"]) != ("metrics", "occurrence")] == []
    assert all(row["by"] == "RANGE (id)" for row in parted)


async def test_migrations_see_the_rows_that_they_change(stack: TestStack) -> None:
    """Under FORCE an owner without BYPASSRLS would update nothing, and say nothing."""
    admin = await asyncpg.connect(stack.admin_dsn)
    rows = await admin.fetch("SELECT rolname, rolbypassrls FROM pg_roles WHERE rolname LIKE $1 || '%'", stack.name)
    await admin.close()
    assert {row["rolname"] for row in rows if row["rolbypassrls"]} == {f"{stack.name}_owner"}


def test_each_part_has_tables_of_its_own() -> None:
    assert not SQLModel.metadata.tables
    for part, metadata in METADATA.items():
        assert {table.schema for table in metadata.tables.values()} == {part}


def test_no_caller_sends_a_row() -> None:
    """A table's class checks nothing when it is made: what comes in is validated by a model that is no table."""
    for part, app in APPS.items():
        rows = {table.name.replace("_", "") for table in METADATA[part].tables.values()}
        sent = {
            schema["$ref"].rpartition("/")[2].lower()
            for methods in app.openapi()["paths"].values()
            for operation in methods.values()
            for content in operation.get("requestBody", {}).get("content", {}).values()
            if "$ref" in (schema := content["schema"])
        }
        assert not rows & sent


def test_nothing_that_is_read_asks_for_a_body() -> None:
    for app in APPS.values():
        for path, methods in app.openapi()["paths"].items():
            assert "requestBody" not in methods.get("get", {}), path


@pytest.mark.parametrize("percent", ["25", "3.5", "0.10"])
async def test_a_decimal_reads_as_it_was_answered_when_it_was_written(goals: httpx.AsyncClient, percent: str) -> None:
    goal = {
        "title": "G", "metric": {"key": "email.ctr"}, "kind": "increase", "target": {"change_percent": percent},
        "baseline": {"from": "2025-01-01", "to": "2026-01-01"}, "window": {"start": "2026-01-01", "due": "2027-01-01"},
    }  # fmt: skip
    made = await goals.post("/v1/goals", json=goal)
    assert made.status_code == 201, made.text
    read = await goals.get(f"/v1/goals/{made.json()['id']}")
    assert made.json()["target"] == read.json()["target"]


def test_sqlalchemy_is_asked_for_with_greenlet() -> None:
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert "sqlalchemy[asyncio]" in needed
    assert "\ngreenlet==" in (ROOT / "requirements.lock").read_text()


def test_a_python_without_ensurepip_is_told_of_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran: list[tuple[object, ...]] = []
    monkeypatch.setattr(install, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(install, "runs", lambda *_: False)
    monkeypatch.setattr(install, "run", lambda *command: ran.append(command))
    monkeypatch.setattr("shutil.which", lambda _: None)
    install.make_environment()
    assert "--without-pip" in ran[0]
    with pytest.raises(install.InstallError, match=r"^[^\n]*apt install python3\.\d+-venv[^\n]*$"):
        install.install(tmp_path / "lock")


def hang_up(listening: socket.socket) -> None:
    with suppress(OSError):
        while True:
            link, _ = listening.accept()
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            link.close()


def test_who_hangs_up_while_being_reached_was_not_reached() -> None:
    async def tried(url: str) -> list[BaseException | httpx.Response]:
        async with http_client() as http:
            return [
                each
                for _ in range(400)
                for each in await asyncio.gather(*(http.get(url) for _ in range(8)), return_exceptions=True)
            ]

    with bound() as listening:
        threading.Thread(target=hang_up, args=(listening,), daemon=True).start()
        found = uvloop.run(tried(url_of(listening)))
        listening.shutdown(socket.SHUT_RDWR)
    assert {type(each) for each in found if not isinstance(each, httpx.TransportError)} == set()
