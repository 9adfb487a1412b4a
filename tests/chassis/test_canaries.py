"""What stays secret: canaries planted in real requests, well and badly answered, appear in no log line, problem, span
or figure."""

import io
import logging
import re
import secrets
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from opentelemetry.sdk.trace import ReadableSpan
from pydantic import SecretStr

from chassis import problems
from chassis.db import Database
from chassis.telemetry import log_format
from chassis.testing import TestStack
from services.goals.objective import store
from tests.parts import Connect, Workspace


def planted(kind: str) -> str:
    return f"{kind}{secrets.token_hex(12)}"


class Ears:
    """Everything that a process tells anybody but the one who asked well."""

    def __init__(self, spans: deque[ReadableSpan]) -> None:
        self.log = io.StringIO()
        self.refusals: list[str] = []
        self.spans = spans
        self.secrets: dict[str, str] = {}

    async def __call__(self, response: httpx.Response) -> None:
        await response.aread()
        if response.status_code >= 400:
            self.refusals.append(f"{response.status_code} {response.text} {response.headers}")

    def plant(self, kind: str, secret: str | None = None) -> str:
        self.secrets[kind] = secret or planted(kind)
        return self.secrets[kind]

    def told(self, figures: list[str]) -> dict[str, str]:
        spans = [
            f"{span.name} {dict(span.attributes or {})} {span.status.description} "
            f"{[(event.name, dict(event.attributes or {})) for event in span.events]}"
            for span in self.spans
        ]
        return {
            "log": self.log.getvalue(), "problems": "\n".join(self.refusals), "spans": "\n".join(spans),
            "figures": "\n".join(figures),
        }  # fmt: skip

    def leaks(self, figures: list[str]) -> list[tuple[str, str]]:
        told = self.told(figures)
        assert all(len(text) > 200 for text in told.values()), "nothing was heard at all"
        return [
            (kind, where) for kind, secret in self.secrets.items() for where, text in told.items() if secret in text
        ]


@contextmanager
def listening(spans: deque[ReadableSpan]) -> Iterator[Ears]:
    ears = Ears(spans)
    root, handlers = logging.getLogger(), []
    for style in ("json", "console"):
        handlers.append(logging.StreamHandler(ears.log))
        handlers[-1].setFormatter(log_format(style))
        root.addHandler(handlers[-1])
    level = root.level
    root.setLevel(logging.INFO)
    try:
        yield ears
    finally:
        root.setLevel(level)
        for handler in handlers:
            root.removeHandler(handler)


@asynccontextmanager
async def broken(stack: TestStack, breaks: str, mends: str) -> AsyncIterator[None]:
    admin = await asyncpg.connect(stack.admin_dsn)
    await admin.execute(breaks)
    try:
        yield
    finally:
        await admin.execute(mends)
        await admin.close()


async def live(
    ears: Ears, stack: TestStack, apps: dict[str, FastAPI], connect: Connect, workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> list[str]:  # fmt: skip
    """Requests of all kinds, with a secret in each; the figures afterwards."""
    ears.plant("bearer", workspace.token("admin"))
    headers = {"Authorization": f"Bearer {ears.secrets['bearer']}", "Cookie": f"session={ears.plant('cookie')}"}
    clients = {}
    for part in apps:
        clients[part] = connect(part)
        clients[part].headers.update(headers)
        clients[part].event_hooks["response"].append(ears)
    gateway, goals, metrics = clients["gateway"], clients["goals"], clients["metrics"]

    # Tokens, and an answer that holds what is shown once, kept under a key.
    key = {"Idempotency-Key": ears.plant("key")}
    for _ in range(2):
        made = await gateway.post("/v1/api-clients", json={"name": "c", "roles": ["admin"]}, headers=key)
        assert made.status_code == 201
    client = made.json()
    secret = ears.plant("client secret", client["client_secret"])
    form = {"grant_type": "client_credentials"}
    granted = await gateway.post("/oauth/token", data=form, auth=(client["id"], secret))
    ears.plant("granted token", granted.json()["access_token"])
    await gateway.post("/oauth/token", data=form, auth=(client["id"], ears.plant("wrong secret")))
    await gateway.post("/oauth/token", data={**form, "client_id": client["id"], "client_secret": secret, "scope": "x"})
    await goals.get("/v1/campaigns", headers={"Authorization": f"Bearer {ears.plant('forged')}.a.b"})

    # A source, its credentials, and the token in its address.
    signing = ears.plant(
        "signing secret", "whsec_" + secrets.token_urlsafe(32).replace("-", "A").replace("_", "B") + "="
    )
    source = {"platform": "standard", "name": "s", "credentials": {"signing_secret": signing}}
    answer = await metrics.post("/v1/sources", json=source)
    assert answer.status_code == 201, answer.text
    url = answer.json()["webhook_url"]
    token = ears.plant("webhook token", url.rpartition("/")[2])
    await metrics.post("/v1/sources", json={**source, "credentials": {"signing_secret": ears.plant("bad credential")}})
    assert (await metrics.post(f"/v1/webhooks/{token}", json=[{"email": ears.plant("address")}])).status_code == 403
    await metrics.post(f"/v1/webhooks/{ears.plant('guessed token')}", json=[])

    # What is refused quotes nothing, in the query or the body.
    for query in ({"cursor": ears.plant("cursor")}, {"state": ears.plant("state")}, {"slug": ears.plant("slug")}):
        await goals.get("/v1/campaigns", params=query)
    await goals.post("/v1/objectives", json={"name": "x", "stakeholder": ears.plant("stakeholder")})
    await gateway.post("/graphql", json={"query": "query($n: ID!) { campaign(id: $n) { id } }",
                                         "variables": {"n": ears.plant("variable")}})  # fmt: skip

    # What breaks on the way quotes nothing either, whoever words the failure.
    address = ears.plant("somebody") + "@example.com"
    objective = {"name": address, "stakeholder": "ceo"}
    column = "ALTER TABLE goals.objective RENAME COLUMN {} TO {}"
    async with broken(stack, column.format("needs", "gone"), column.format("gone", "needs")):
        assert (await goals.post("/v1/objectives", json=objective)).status_code == 503
    refuse = "ALTER TABLE goals.objective {} CONSTRAINT canary"
    async with broken(stack, refuse.format("ADD") + " CHECK (name NOT LIKE '%@%') NOT VALID", refuse.format("DROP")):
        assert (await goals.post("/v1/objectives", json=objective)).status_code == 422
    trigger = """CREATE FUNCTION goals.canary() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'no room for "%" or %', NEW.name, NEW.name; END $$;
                 CREATE TRIGGER canary BEFORE INSERT ON goals.objective FOR EACH ROW EXECUTE FUNCTION goals.canary()"""
    async with broken(stack, trigger, "DROP FUNCTION goals.canary CASCADE"):
        assert (await goals.post("/v1/objectives", json=objective)).status_code == 503

    async def stumble(*_: Any, **__: Any) -> None:
        try:
            int(ears.plant("number"))
        except ValueError:
            raise RuntimeError(f"can't reach https://{ears.plant('host')}/x for {address}") from None
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(store, "add_objective", stumble)
        assert (await goals.post("/v1/objectives", json=objective)).status_code == 500

    # The database's own password.
    login = f"postgresql://u:{ears.plant('password')}@127.0.0.1:1/x"
    state = apps["goals"].state
    state.database, back = Database(SecretStr(login), "w", 2, "goals", state.clock), state.database
    try:
        assert (await goals.get("/v1/campaigns")).status_code == 503
        assert (await goals.get("/readyz")).status_code == 503
    finally:
        await state.database.close()
        state.database = back
    repr(state.settings)
    logging.getLogger("mops.test").error("settings %s %r", state.settings, state.settings)
    ears.plant("own password", state.settings.database_url.get_secret_value().split(":")[2].partition("@")[0])
    ears.plant("service secret", state.settings.service_secret.get_secret_value())
    return [(await http.get("/metrics")).text for http in clients.values()]


async def test_no_secret_is_told(
    stack: TestStack, apps: dict[str, FastAPI], connect: Connect, workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch, spans: deque[ReadableSpan],
) -> None:  # fmt: skip
    with listening(spans) as ears:
        figures = await live(ears, stack, apps, connect, workspace, monkeypatch)
    assert ears.leaks(figures) == []


async def test_the_search_finds_what_would_be_told_without_the_mask(
    stack: TestStack, apps: dict[str, FastAPI], connect: Connect, workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch, spans: deque[ReadableSpan],
) -> None:  # fmt: skip
    monkeypatch.setattr(problems, "_QUOTED", re.compile(r"(?!)"))
    with listening(spans) as ears:
        figures = await live(ears, stack, apps, connect, workspace, monkeypatch)
    assert {("somebody", "log"), ("host", "log")} <= set(ears.leaks(figures))
