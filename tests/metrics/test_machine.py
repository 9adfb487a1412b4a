"""Whatever happens in whatever order, every number is what a plain count of the acknowledged events says."""

import asyncio
import os
import random
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from chassis.fields import new_id
from chassis.inbox import Incoming
from chassis.testing import Clock, TestStack
from services.metrics.rollup.actions import count_events
from tests.metrics.conftest import Sender, open_of
from tests.parts import APPS, Connect, Workspace, open_workspace

T = TypeVar("T")
ZONES = ["Europe/Berlin", "America/Los_Angeles", "Pacific/Kiritimati"]
# Longer runs: MACHINE_EXAMPLES=500.
EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "4"))
SLUGS = ["spring", "autumn", "winter"]
# Around a month's end in all of these zones, and long before.
TIMES = [
    datetime(2026, 5, 31, 22, 30, tzinfo=UTC),
    datetime(2026, 6, 1, 6, 30, tzinfo=UTC),
    datetime(2025, 1, 9, tzinfo=UTC),
]
SINCE, UNTIL = "2024-12-01", "2026-07-01"

EVENTS = st.lists(
    st.fixed_dictionaries({
        "type": st.sampled_from(["opened", "opened", "clicked", "delivered"]),
        "recipient": st.sampled_from(["a@example.com", "b@example.com", None]),
        "message_id": st.sampled_from(["m1", "m2"]),
        "occurred_at": st.builds(
            lambda at, n: at.replace(second=n).isoformat(), st.sampled_from(TIMES), st.integers(0, 3)
        ),
        "tags": st.lists(st.sampled_from([*SLUGS, "other"]), max_size=2, unique=True),
        "machine": st.booleans(),
    }),
    min_size=1, max_size=6,
)  # fmt: skip


def identity(event: dict[str, Any]) -> tuple[Any, ...]:
    return event["type"], event["recipient"], event["message_id"], event["occurred_at"]


class Told:
    """What was acknowledged, and what is known of campaigns, the zone and verdicts: all that a plain count needs."""

    def __init__(self) -> None:
        self.events: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.campaigns: dict[str, str] = {}
        self.zone = ZONES[0]

    def campaign(self, event: dict[str, Any]) -> str | None:
        return next((self.campaigns[tag] for tag in event["tags"] if tag in self.campaigns), None)

    def month(self, event: dict[str, Any]) -> str:
        return f"{datetime.fromisoformat(event['occurred_at']).astimezone(ZoneInfo(self.zone)):%Y-%m-01}"

    def count(self, kind: str, campaign: str | None, human: bool) -> dict[str, int]:
        """Month -> clicks, or distinct pairs of opens; of one campaign or of all."""
        found: dict[str, set[Any]] = {}
        for key, event in self.events.items():
            of_it = event["type"] == ("clicked" if kind == "email.total_clicks" else "opened")
            other = campaign and self.campaign(event) != campaign
            if not of_it or other or (human and event["verdict"] != "human"):
                continue
            if kind == "email.total_clicks":
                found.setdefault(self.month(event), set()).add(key)
            elif event["recipient"]:
                found.setdefault(self.month(event), set()).add((event["recipient"], event["message_id"]))
        return {month: len(items) for month, items in found.items()}


class Machine(RuleBasedStateMachine):
    """One workspace, and everything that can become of its events."""

    loop: asyncio.AbstractEventLoop
    stack: TestStack
    connect: Connect
    app: FastAPI
    clock: Clock

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    @initialize()
    def begin(self) -> None:
        self.told = Told()
        self.workspace: Workspace = self.do(open_workspace(self.stack, APPS))
        self.metrics: httpx.AsyncClient = self.connect("metrics", self.workspace)
        self.sender: Sender = self.do(open_of(self.connect, self.workspace, self.clock))

    def _acknowledge(self, events: list[dict[str, Any]]) -> None:
        for event in events:
            verdict = "bot" if event["machine"] else "human" if event["type"] in ("opened", "clicked") else "unknown"
            self.told.events.setdefault(identity(event), {**event, "verdict": verdict})

    @rule(events=EVENTS, times=st.integers(1, 3), seed=st.integers(0, 9))
    def posts(self, events: list[dict[str, Any]], times: int, seed: int) -> None:
        """Several times, in any order; the first of two that are one decides what it says."""
        first = list({identity(event): event for event in reversed(events)}.values())
        for number in range(times):
            again = list(first)
            random.Random(seed + number).shuffle(again)
            sent = [{key: value for key, value in event.items() if value is not None} for event in again]
            assert self.do(self.sender.post(sent)).status_code == 200
            self._acknowledge(again)

    @rule(events=EVENTS)
    def a_flush_dies(self, events: list[dict[str, Any]]) -> None:
        """Its connection is ended in the middle of the transaction: it is acknowledged by nobody, or in the numbers."""
        answer = self.do(self._post_and_kill(events))
        if answer == 200:
            self._acknowledge(list({identity(event): event for event in reversed(events)}.values()))

    async def _post_and_kill(self, events: list[dict[str, Any]]) -> int:
        admin = await asyncpg.connect(self.stack.admin_dsn)
        try:
            held = admin.transaction()
            await held.start()
            # The flush waits for its workspace's numbers.
            key = f"numbers:{self.workspace.id}"
            await admin.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", key)
            sent = [{key: value for key, value in event.items() if value is not None} for event in events]
            post = asyncio.create_task(self.sender.post(sent))
            found = None
            while found is None and not post.done():
                # By whom it waits for, not by its text: while its arguments are bound, that of the one before is shown.
                found = await admin.fetchval(
                    "SELECT pid FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)) LIMIT 1",
                    admin.get_server_pid(),
                )
            if found is not None:
                await admin.execute("SELECT pg_terminate_backend($1)", found)
            await held.rollback()
            return (await post).status_code
        finally:
            await admin.close()

    @rule(slug=st.sampled_from(SLUGS))
    def a_campaign_is_made(self, slug: str) -> None:
        if slug not in self.told.campaigns:
            self.told.campaigns[slug] = str(new_id())
            data = {"campaign_id": self.told.campaigns[slug], "slug": slug, "name": slug}
            self._hear("goals.campaign.created", data)

    @rule(zone=st.sampled_from(ZONES))
    def the_zone_changes(self, zone: str) -> None:
        self.told.zone = zone
        self._hear("gateway.workspace.changed", {"name": "Test", "zone": zone, "currency": "EUR"})

    def _hear(self, kind: str, data: dict[str, Any]) -> None:
        event = Incoming(
            id=new_id(), source="/test", type=kind, subject="x", time=datetime.now(UTC), workspaceid=self.workspace.id,
            data=data,
        )  # fmt: skip

        async def hear() -> None:
            async with self.app.state.database.tenant(self.workspace.id) as session:
                await self.app.state.consumes[kind](session, event)

        self.do(hear())

    @rule(place=st.integers(0, 5), verdict=st.sampled_from(["human", "bot", "unknown"]))
    def a_verdict_is_revised(self, place: int, verdict: str) -> None:
        listed = self.do(self.metrics.get("/v1/events", params={"limit": 200})).json()["items"]
        if place >= len(listed):
            return
        chosen = listed[place]
        answer = self.do(self.metrics.post(f"/v1/events/{chosen['id']}/judge", json={"verdict": verdict}))
        assert answer.status_code == 200, answer.text
        at = datetime.fromisoformat(chosen["occurred_at"])
        for event in self.told.events.values():
            if (event["type"], event["recipient"], event["message_id"]) == (
                chosen["type"], chosen["recipient"], chosen["message_id"],
            ) and datetime.fromisoformat(event["occurred_at"]) == at:  # fmt: skip
                event["verdict"] = verdict

    @rule()
    def notes_are_counted(self) -> None:
        self.do(count_events(self.app))

    @invariant()
    def every_number_is_a_plain_count(self) -> None:
        queries: list[dict[str, Any]] = [
            {"metric": kind + (".human" if human else ""), "from": SINCE, "to": UNTIL, "grain": "month",
             "campaign_ids": [campaign] if campaign else []}
            for kind in ("email.total_clicks", "email.unique_recipient_impressions")
            for human in (False, True)
            for campaign in (None, *self.told.campaigns.values())
        ]  # fmt: skip
        answer = self.do(self.metrics.post("/v1/series/query", json={"queries": queries})).json()
        for asked, series in zip(queries, answer["series"], strict=True):
            found = {point["start"]: point["value"] for point in series["points"] if point["value"]}
            human = asked["metric"].endswith(".human")
            campaign = (asked["campaign_ids"] or [None])[0]
            assert found == self.told.count(asked["metric"].removesuffix(".human"), campaign, human), asked


@pytest.fixture
def machine(stack: TestStack, metrics_app: FastAPI, connect: Connect, clock: Clock) -> type[Machine]:
    class Here(Machine):
        pass

    Here.stack, Here.connect, Here.app, Here.clock = stack, staticmethod(connect), metrics_app, clock
    return Here


async def test_numbers_are_a_plain_count_whatever_happens(machine: type[Machine]) -> None:
    machine.loop = asyncio.get_running_loop()
    quick = settings(
        max_examples=EXAMPLES,
        stateful_step_count=8,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    await asyncio.to_thread(run_state_machine_as_test, machine, settings=quick)
