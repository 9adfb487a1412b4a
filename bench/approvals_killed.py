"""Decides whether approvals stay exact while the service is killed under them: many approvers on one line in three
currencies, each request asked for by two at once, each asking again with its key until there is an answer.

`python -m bench.approvals_killed --bug double` forgets what a key was for, and must go red.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import httpx
from fastapi import Response

from bench.approvals import PORT, budget_alone, copy, lines_of, serve_budget, token_of
from bench.load import until_it_answers
from chassis.fields import new_id
from chassis.testing import TestStack
from services.budget.rate.rules import SIGNIFICANT, Rate

REQUESTS, APPROVERS, KILLS = 1_000, 64, 4
PER_EURO = {"EUR": Decimal(1), "USD": Decimal("1.1172"), "GBP": Decimal("0.8437")}
# Half of what all of them ask for in all, or a little less.
SHARE = 0.47


@dataclass
class Tally:
    """What was acknowledged, by request; what else was answered; and what a reader saw meanwhile."""

    acknowledged: dict[UUID, list[str]] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    replayed: int = 0
    retries: int = 0
    lowest: int = 0
    reads: int = 0
    killed: int = 0


def double() -> None:
    """A key says nothing, and a request may be approved though it is."""
    from services.budget.request import deciding, together

    for module, name, instead in (
        (deciding, "assert_can_become", lambda state, wanted: None),
        (together, "HEADER", "X-Nothing"),
    ):
        setattr(module, name, instead)


BUGS = {"double": double}


def die_unanswered(armed: Any) -> None:
    """Has the service die between a commit and its answers, once it is armed; of one that keeps an answer, so that
    somebody who asks again has to get it."""
    import services.budget.app  # noqa: F401
    from services.budget.request.together import Together

    commit = Together._commit

    async def commit_and_die(self: Together, workspace_id: UUID, batch: Any) -> Any:
        answers = await commit(self, workspace_id, batch)
        if armed.value and any(isinstance(each, Response) for each in answers):
            armed.value = 0
            os.kill(os.getpid(), signal.SIGKILL)
        return answers

    Together._commit = commit_and_die  # type: ignore[method-assign]


def keep_serving(stack: TestStack, port: int, bug: str, pid: Any, armed: Any) -> None:
    """Starts the service again whenever it has died."""
    if bug:
        BUGS[bug]()
    # Imports the service too, which so is up again in no time.
    die_unanswered(armed)
    forked = multiprocessing.get_context("fork")
    while True:
        child = forked.Process(target=serve_budget, args=(stack, port, ""))
        child.start()
        pid.value = child.pid
        child.join()


@contextmanager
def served_by(stack: TestStack, port: int, bug: str) -> Iterator[Callable[[int], None]]:
    """Serves; what is yielded kills the service, by turns at once and after its next commit."""
    forked = multiprocessing.get_context("fork")
    pid, armed = forked.Value("i", 0), forked.Value("i", 0)
    keeper = forked.Process(target=keep_serving, args=(stack, port, bug, pid, armed))
    keeper.start()

    def kill(turn: int) -> None:
        if turn % 2:
            armed.value = 1
        else:
            os.kill(pid.value, signal.SIGKILL)

    try:
        yield kill
    finally:
        # First who would start it again.
        keeper.kill()
        keeper.join(10)
        with suppress(ProcessLookupError):
            os.kill(pid.value, signal.SIGKILL)


def worth(minor: int, currency: str) -> int:
    """In euro cents, at the rate that was imported."""
    today = datetime.now(UTC).date()
    return Rate(currency, "EUR", SIGNIFICANT.divide(Decimal(1), PER_EURO[currency]), today).of(minor)


async def prepare(connection: Any, workspace: UUID, count: int) -> tuple[UUID, dict[UUID, int]]:
    """A line that has less than is asked for, and what each request is worth."""
    now, chance = datetime.now(UTC), random.Random(11)
    made = [(new_id(), list(PER_EURO)[place % 3], chance.randint(1, 99_999)) for place in range(count)]
    worths = {each: worth(minor, currency) for each, currency, minor in made}
    (line,) = await lines_of(connection, workspace, 1, int(sum(worths.values()) * SHARE))
    await copy(
        connection, "rate", "workspace_id id currency day per_euro imported_by imported_at",
        [(workspace, new_id(), name, now.date(), rate, "bench", now) for name, rate in PER_EURO.items()],
    )  # fmt: skip
    await copy(
        connection, "request",
        "workspace_id id title line_id currency amount worth department itemised state requested_by created_at"
        " submitted_at submitted_by waiting_since layers_done received invoiced version",
        [(workspace, each, "R", line, currency, minor, worths[each], "content", False, "submitted", "ada", now, now,
          "ada", now, 0, 0, 0, 1) for each, currency, minor in made],
    )  # fmt: skip
    await copy(
        connection, "request_item", "workspace_id id request_id line_id amount description",
        [(workspace, new_id(), each, line, minor, "") for each, _, minor in made],
    )  # fmt: skip
    return line, worths


async def approve(http: httpx.AsyncClient, token: str, request: UUID, key: str, tally: Tally) -> None:
    """Asks until there is an answer that says what became of it."""
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
    while True:
        try:
            answer = await http.post(f"/v1/requests/{request}/approve", headers=headers)
        except httpx.TransportError:
            tally.retries += 1
            await asyncio.sleep(0.05)
            continue
        if answer.status_code == 503:
            tally.retries += 1
            await asyncio.sleep(0.05)
            continue
        code = "200" if answer.status_code == 200 else answer.json()["code"]
        tally.answers[code] = tally.answers.get(code, 0) + 1
        tally.replayed += "Idempotency-Replayed" in answer.headers
        if code == "200":
            tally.acknowledged.setdefault(request, []).append(key)
        return


async def watch(connection: Any, line: UUID, tally: Tally, over: asyncio.Event) -> None:
    """Reads what is available over and over."""
    while not over.is_set():
        available = await connection.fetchval(
            "SELECT allotted + transferred - reserved - committed - actual FROM balance WHERE id = $1", line
        )
        tally.lowest, tally.reads = min(tally.lowest, available), tally.reads + 1
        await asyncio.sleep(0.01)


async def fire(
    stack: TestStack, workspace: UUID, port: int, kill: Callable[[int], None], count: int, approvers: int, kills: int
) -> list[str]:
    """What is wrong in the end; nothing, if all is well."""
    await until_it_answers(port)
    admin = await asyncpg.connect(stack.admin_dsn, server_settings={"search_path": "budget"})
    reader = await asyncpg.connect(stack.admin_dsn, server_settings={"search_path": "budget"})
    line, worths = await prepare(admin, workspace, count)
    tokens = [token_of(stack, workspace, f"approver-{place}") for place in range(approvers)]
    # Each twice in a row, so that two approvers come to it at about the same time.
    waiting = enumerate([(each, f"{turn} {each}") for each in worths for turn in (1, 2)])
    tally, over = Tally(), asyncio.Event()
    # While there is money: the first half of them.
    at = {count * (place + 1) // (kills + 1) for place in range(kills)}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as http:

        async def one(token: str) -> None:
            for place, (request, key) in waiting:
                if place in at:
                    kill(tally.killed)
                    tally.killed += 1
                await approve(http, token, request, key, tally)

        watching = asyncio.create_task(watch(reader, line, tally, over))
        await asyncio.gather(*(one(token) for token in tokens))
        over.set()
        await watching
        bearer = {"Authorization": f"Bearer {token_of(stack, workspace, 'admin')}"}
        position = (await http.get(f"/v1/lines/{line}/position", headers=bearer)).json()
    wrong = await differences(admin, line, worths, tally)
    print(f"{tally.killed} kills, {tally.retries} retries, {tally.replayed} replayed, {tally.answers}, {tally.reads} "
          f"reads, {position['available']['amount']} left", flush=True)  # fmt: skip
    await admin.close()
    await reader.close()
    return wrong


async def differences(admin: Any, line: UUID, worths: dict[UUID, int], tally: Tally) -> list[str]:
    """Where what was acknowledged isn't what is kept."""
    wanted = sum(worths[each] for each in tally.acknowledged)
    balance = await admin.fetchrow("SELECT * FROM balance WHERE id = $1", line)
    held = await admin.fetch("SELECT subject_id, amount FROM hold WHERE line_id = $1", line)
    kept = {
        "reserved": balance["reserved"],
        "entries": await admin.fetchval("SELECT coalesce(sum(reserved), 0) FROM entry WHERE line_id = $1", line),
        "holds": sum(row["amount"] for row in held),
    }
    approved = {row["id"] for row in await admin.fetch("SELECT id FROM request WHERE state = 'approved'")}
    wrong = [f"{name}: {found}, acknowledged {wanted}" for name, found in kept.items() if found != wanted]
    if odd := [row for row in held if row["amount"] != worths[row["subject_id"]]]:
        wrong.append(f"{len(odd)} held at another rate than was imported")
    if approved != set(tally.acknowledged):
        wrong.append(f"{len(approved ^ set(tally.acknowledged))} requests aren't what was answered")
    if doubled := [each for each, keys in tally.acknowledged.items() if len(keys) > 1]:
        wrong.append(f"{len(doubled)} acknowledged to two")
    # The line, too, is told of, as often as it moves.
    told = "(SELECT subject FROM outbox WHERE type = 'budget.request.decided') AS told"
    for table, what in (("entry", "subject_id"), ("decision", "request_id"), ("hold", "subject_id"),
                        (told, "subject"), ("audit", "row_id")):  # fmt: skip
        counted = f"SELECT {what} FROM {table} WHERE {what} IS NOT NULL GROUP BY 1"
        found = await admin.fetch(f"SELECT count(*) FROM ({counted} HAVING count(*) > 1) AS twice")
        once = await admin.fetchval(f"SELECT count(*) FROM ({counted}) AS once")
        if found[0][0] or once != len(approved):
            wrong.append(f"{table}: {found[0][0]} twice, {once} in all for {len(approved)}")
    if not tally.replayed:
        wrong.append("no answer was asked for again")
    if tally.lowest < 0:
        wrong.append(f"{tally.lowest} available at a read")
    deadlocks = await admin.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    if deadlocks:
        wrong.append(f"{deadlocks} deadlocks")
    left = balance["allotted"] - balance["reserved"]
    if left > max(worths.values()):
        wrong.append(f"{left} left, though more was asked for than there was")
    return wrong


def run(
    count: int, approvers: int, kills: int, port: int = PORT, bug: str = "", *, durable: bool = True
) -> list[str]:  # fmt: skip
    with budget_alone(durable) as (stack, workspace), served_by(stack, port, bug) as kill:
        return asyncio.run(fire(stack, workspace, port, kill, count, approvers, kills))


def main(given: Sequence[str] | None = None) -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench.approvals_killed")
    arguments.add_argument("--requests", type=int, default=REQUESTS)
    arguments.add_argument("--approvers", type=int, default=APPROVERS)
    arguments.add_argument("--kills", type=int, default=KILLS)
    arguments.add_argument("--bug", choices=list(BUGS), default="")
    asked = arguments.parse_args(given)
    wrong = run(asked.requests, asked.approvers, asked.kills, bug=asked.bug)
    print("\n".join(wrong) or "exactly what was acknowledged")
    if asked.bug:
        print(f"seeded bug {asked.bug}: {'red, as it should be' if wrong else 'NOT FOUND'}")
        return int(not wrong)
    print(json.dumps({"bench": "approvals_killed", "ratios": {"exact": float(not wrong)}, "bars": {"exact": 1.0}}))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
