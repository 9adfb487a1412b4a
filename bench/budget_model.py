"""Decides how long stories of money are compared with a model in plain Python: 5,000 of 50 steps, or until the first
difference. `--bug NAME` seeds one of `BUGS`, and fails unless it is found."""

import argparse
import asyncio
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httpx
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import services.budget.app
from chassis.fields import new_id
from chassis.inbox import Incoming, learn_workspace
from chassis.roles import scopes_of
from chassis.serving import collect_seldom
from chassis.testing import START, TestStack, prepared
from deploy.postgres import cluster, databases
from gateway.identity.token.signing import Grant, access_token
from tests.budget.model import TELLING, Step, play, steps

APPS = {"budget": services.budget.app.app}
SEED = 20260615
SAID_EVERY = 25


def float_money() -> None:
    """Amounts are converted as floats."""
    from services.budget.rate.rules import Rate

    Rate.of = lambda self, minor: round(float(minor) * float(self.value) * 10.0**self.shift)  # type: ignore[method-assign]


def double_post() -> None:
    """An invoice is posted though it is."""
    from services.budget.invoice import api
    from services.budget.invoice.rules import InvoiceState, assert_can_become

    def unless_posted(state: InvoiceState, wanted: InvoiceState) -> None:
        if (state, wanted) != (InvoiceState.POSTED, InvoiceState.POSTED):
            assert_can_become(state, wanted)

    api.assert_can_become = unless_posted  # type: ignore[attr-defined]


def late_rounding() -> None:
    """What of a hold an invoice takes is rounded for itself, and not what is left for the last one."""
    from services.budget.ledger import actions

    actions.share = lambda held, whole, part: -(-held * part // whole)  # type: ignore[attr-defined]


def no_condition() -> None:
    """A line takes whatever it is asked for."""
    from sqlalchemy import text

    from services.budget.ledger import rules, store

    store._ADD = text(store._ADD.text.replace("NOT stops OR", "true OR"))
    rules.refusal = lambda found, change, booked_on: None


BUGS: dict[str, Callable[[], None]] = {
    "float-money": float_money, "double-post": double_post, "late-rounding": late_rounding,
    "no-condition": no_condition,
}  # fmt: skip


async def learned(stack: TestStack) -> Any:
    """A workspace of its own, and how people in it ask."""
    workspace = new_id()
    event = Incoming(
        id=new_id(), source="/gateway", type="gateway.workspace.created", subject=str(workspace), time=START,
        workspaceid=workspace, data={"name": "Model", "zone": "Europe/Berlin", "currency": "EUR"},
    )  # fmt: skip
    async with APPS["budget"].state.database.tenant(workspace) as session:
        await learn_workspace(session, event)
    tokens = {
        who: access_token(
            Grant(who, who, workspace, ["admin"], sorted(scopes_of(["admin"])), timedelta(days=1)), stack.key,
            "http://gateway", START,
        )
        for who in ("ada", "bob")
    }  # fmt: skip
    client = httpx.AsyncClient(transport=httpx.ASGITransport(APPS["budget"]), base_url="http://budget")

    async def ask(who: str, method: str, path: str, **request: Any) -> httpx.Response:
        return await client.request(method, path, headers={"Authorization": f"Bearer {tokens[who]}"}, **request)

    return ask


def run(stack: TestStack, number: int, stories: int, length: int) -> int:
    """Plays so many; how many steps that were. AssertionError at the first that differs."""
    done = played = 0
    with asyncio.Runner() as runner:

        async def start() -> Any:
            opened = AsyncExitStack()
            await opened.enter_async_context(stack.started(APPS))
            return opened, await learned(stack)

        opened, ask = runner.run(start())
        # A line for each of a million requests would bury what is said here.
        logging.disable(logging.WARNING)
        collect_seldom()  # as whatever serves does

        @seed(SEED + number)
        @settings(
            max_examples=stories,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(story=st.lists(steps, min_size=length, max_size=length))
        def one(story: list[Step]) -> None:
            nonlocal done, played
            try:
                runner.run(play(ask, story))
            except AssertionError:
                print(f"the story: {story}", flush=True)
                raise
            done, played = done + 1, played + len(story)
            if done % SAID_EVERY == 0:
                print(f"worker {number}: {done} of {stories} stories, {played} steps", flush=True)

        try:
            for told in TELLING:
                runner.run(play(ask, told))
                played += len(told)
            one()
            found = runner.run(ask("bob", "GET", "/v1/ledger-check")).json()
            print(found, flush=True)
            assert found["sound"], found
        finally:
            runner.run(opened.aclose())
    return played


def work(admin_dsn: str, number: int, stories: int, length: int, bug: str) -> tuple[int, str]:
    """In a process and on a database of its own; how many steps there were, and what differed."""
    if bug:
        BUGS[bug]()
    name = f"mops_model_{number}"
    admin = asyncio.run(databases.create(admin_dsn, name))
    try:
        with tempfile.TemporaryDirectory(prefix="mops-bench-") as folder, prepared(admin, Path(folder)) as stack:
            return run(stack, number, stories, length), ""
    except AssertionError as problem:
        return 0, f"a difference: {str(problem)[:300]}"
    finally:
        asyncio.run(databases.drop(admin_dsn, name))


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench.budget_model")
    arguments.add_argument("--stories", type=int, default=5_000)
    arguments.add_argument("--steps", type=int, default=50)
    arguments.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments.add_argument("--bug", choices=list(BUGS), default="")
    asked = arguments.parse_args()
    share = -(-asked.stories // asked.workers)
    with (
        tempfile.TemporaryDirectory(prefix="mops-bench-") as folder,
        cluster.running(Path(folder) / "postgres", durable=False) as up,
        ProcessPoolExecutor(asked.workers, get_context("spawn")) as pool,
    ):
        working = [
            pool.submit(work, up.admin_dsn, number, share, asked.steps, asked.bug) for number in range(asked.workers)
        ]
        found = [each.result() for each in working]
    played = sum(count for count, _ in found)
    differences = [difference for _, difference in found if difference]
    print(*differences or [f"{played} steps, and no difference"], sep="\n")
    if asked.bug:
        print(f"seeded bug {asked.bug}: {'red, as it should be' if differences else 'NOT FOUND'}")
        return int(not differences)
    print(json.dumps({"bench": "budget_model", "ratios": {"same": float(not differences)}, "bars": {"same": 1.0}}))
    return int(bool(differences))


if __name__ == "__main__":
    sys.exit(main())
