"""What a job promises: its turn is taken once across replicas, what became of it is kept and shown, and work that a
change put off takes effect once."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database, workspace_of
from chassis.fields import new_id
from chassis.jobs import LEASE, MOST_ATTEMPTS, Deferred, Job, Runner, defer, run_once
from chassis.sweeping import sweep
from chassis.testing import Clock, TestStack
from tests.parts import Connect, Workspace


def counting(every: timedelta = timedelta(minutes=1)) -> tuple[Job, list[int]]:
    runs: list[int] = []

    async def run(app: FastAPI) -> None:
        runs.append(1)

    return Job(f"test_{new_id()}", every, run), runs


async def test_a_turn_is_taken_by_one_replica(apps: dict[str, FastAPI], clock: Clock) -> None:
    job, runs = counting()
    took = await asyncio.gather(*(run_once(apps["goals"], job) for _ in range(8)))
    assert (sum(took), len(runs)) == (1, 1)
    clock.forward(seconds=59)
    assert not await run_once(apps["goals"], job)
    clock.forward(seconds=1)
    assert await run_once(apps["goals"], job)


async def test_a_job_that_is_asked_for_runs_before_its_time(apps: dict[str, FastAPI], clock: Clock) -> None:
    job, runs = counting()
    await run_once(apps["goals"], job)
    assert await run_once(apps["goals"], job, asked=True)
    assert len(runs) == 2


async def test_jobs_that_fall_due_together_follow_one_another_and_a_long_one_holds_nobody_up(
    apps: dict[str, FastAPI],
) -> None:
    order: list[str] = []
    last = asyncio.Event()

    async def short(app: FastAPI) -> None:
        order.append("begun")
        async with app.state.database.worker() as session:
            await session.execute(text("SELECT 1"))
        order.append("ended")

    async def waits_for_the_last(app: FastAPI) -> None:
        await last.wait()
        order.append("long ended")

    async def is_last(app: FastAPI) -> None:
        last.set()

    async def ran(*works: Any) -> None:
        over = [asyncio.Event() for _ in works]

        def job(place: int) -> Job:
            async def run(app: FastAPI) -> None:
                await works[place](app)
                over[place].set()

            return Job(f"test_{new_id()}", timedelta(minutes=1), run)

        runner = Runner(apps["goals"], [job(place) for place in range(len(works))])
        running = asyncio.create_task(runner.run())
        async with asyncio.timeout(20):
            for each in over:
                await each.wait()
        runner.stop()
        await running

    await ran(*[short] * 4)
    assert order == ["begun", "ended"] * 4
    order.clear()
    await ran(waits_for_the_last, is_last, waits_for_the_last, is_last)
    assert order == ["long ended"] * 2


async def test_a_job_that_fails_is_told_of_by_its_kind_and_comes_round_again(
    apps: dict[str, FastAPI], clock: Clock, goals: httpx.AsyncClient
) -> None:
    async def run(app: FastAPI) -> None:
        raise RuntimeError("no ink for somebody's workspace")

    job = Job(f"test_{new_id()}", timedelta(minutes=1), run)
    await run_once(apps["goals"], job)
    (shown,) = (await goals.get("/v1/jobs", params={"name": job.name})).json()["items"]
    assert (shown["state"], shown["last_error"], shown["periodic"]) == ("failed", "RuntimeError", True)
    clock.forward(minutes=1)
    assert await run_once(apps["goals"], job)


class Ledger:
    """Work that writes an objective of its subject's name; a test says what else happens on the way."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.job = Deferred(f"test_{new_id()}", self.run)
        self.seen: list[UUID] = []
        self.fail = False

    async def run(self, session: AsyncSession, subject: UUID) -> None:
        self.seen.append(workspace_of(session))
        await session.execute(
            text("""INSERT INTO objective (workspace_id, id, name, stakeholder, needs, created_at)
                    VALUES (:w, :id, :name, 'ceo', '', now())"""),
            {"w": workspace_of(session), "id": new_id(), "name": str(subject)},
        )
        if self.fail:
            raise ValueError("no room for 'ann@example.com'")

    async def put_off(self, workspace: Workspace, subject: UUID, wait: timedelta = timedelta(0)) -> UUID:
        database: Database = self.app.state.database
        async with database.tenant(workspace.id) as session:
            return await defer(session, self.job, subject, wait)

    def runner(self) -> Runner:
        return Runner(self.app, [self.job])


@pytest.fixture
def ledger(apps: dict[str, FastAPI], clock: Clock) -> Ledger:
    return Ledger(apps["goals"])


async def written(goals: httpx.AsyncClient) -> list[str]:
    return [item["name"] for item in (await goals.get("/v1/objectives")).json()["items"]]


async def shown(goals: httpx.AsyncClient, **wanted: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await goals.get("/v1/jobs", params=wanted)).json()["items"]
    return items


async def test_work_is_put_off_with_the_change_or_not_at_all(
    ledger: Ledger, workspace: Workspace, goals: httpx.AsyncClient
) -> None:
    database: Database = ledger.app.state.database

    async def fail() -> None:
        async with database.tenant(workspace.id) as session:
            await defer(session, ledger.job, new_id())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await ledger.runner().run_due() == 0
    subject = new_id()
    await ledger.put_off(workspace, subject)
    assert await ledger.runner().run_due() == 1
    assert await written(goals) == [str(subject)]
    assert ledger.seen == [workspace.id]


async def test_many_replicas_do_each_piece_of_work_once(
    ledger: Ledger, workspace: Workspace, other_workspace: Workspace, goals: httpx.AsyncClient, connect: Connect
) -> None:
    subjects = [new_id() for _ in range(20)]
    for subject in subjects:
        await ledger.put_off(workspace, subject)
        await ledger.put_off(other_workspace, subject)
    took = await asyncio.gather(*(ledger.runner().run_due() for _ in range(4)))
    assert sum(took) == len(ledger.seen) == 40
    for client in (goals, connect("goals", other_workspace)):
        assert sorted(await written(client)) == sorted(map(str, subjects))


async def test_work_that_waits_is_not_begun_before_its_time(ledger: Ledger, workspace: Workspace, clock: Clock) -> None:
    await ledger.put_off(workspace, new_id(), timedelta(hours=1))
    assert await ledger.runner().run_due() == 0
    clock.forward(hours=1)
    assert await ledger.runner().run_due() == 1


async def test_work_that_fails_is_tried_ever_later_then_given_up_and_runs_again_when_asked(
    ledger: Ledger, workspace: Workspace, clock: Clock, goals: httpx.AsyncClient
) -> None:
    job_id = await ledger.put_off(workspace, new_id())
    ledger.fail, waits = True, []
    for _ in range(MOST_ATTEMPTS):
        began = clock.now
        while not await ledger.runner().run_due():
            clock.forward(seconds=5)
        waits.append((clock.now - began).total_seconds())
    assert waits == [0, 5, 10, 20, 40, 80, 160, 320]
    clock.forward(hours=12)
    assert await ledger.runner().run_due() == 0
    (given_up,) = await shown(goals, id=str(job_id))
    assert (given_up["state"], given_up["attempts"], given_up["due_at"]) == ("failed", MOST_ATTEMPTS, None)
    assert given_up["last_error"] == "ValueError: no room for …"
    assert await written(goals) == []
    ledger.fail = False
    again = await goals.post(f"/v1/jobs/{job_id}/retry")
    assert (again.status_code, again.json()["state"]) == (200, "waiting")
    assert await ledger.runner().run_due() == 1
    (done,) = await shown(goals, id=str(job_id))
    assert (done["state"], done["last_error"], done["seconds"]) == ("done", None, 0)
    assert (await goals.post(f"/v1/jobs/{job_id}/retry")).json()["code"] == "not_given_up"


@pytest.mark.parametrize("deaf", [False, True])
async def test_who_put_off_what_is_given_up_hears_of_it_once_and_it_is_failed_even_where_nobody_can(
    ledger: Ledger, workspace: Workspace, clock: Clock, goals: httpx.AsyncClient, deaf: bool
) -> None:
    heard: list[tuple[UUID, str]] = []

    async def given_up(session: AsyncSession, subject: UUID, why: str) -> None:
        ledger.fail = False
        await ledger.run(session, subject)
        heard.append((subject, why))
        if deaf:
            raise ValueError("nobody there")

    ledger.job, ledger.fail = Deferred(ledger.job.name, ledger.run, given_up), True
    subject = new_id()
    job_id = await ledger.put_off(workspace, subject)
    for _ in range(MOST_ATTEMPTS + 1):
        await ledger.runner().run_due()
        clock.forward(minutes=11)
    assert heard == [(subject, "ValueError: no room for …")]
    (shown_job,) = await shown(goals, id=str(job_id))
    assert (shown_job["state"], shown_job["last_error"]) == ("failed", "ValueError: no room for …")
    assert await written(goals) == ([] if deaf else [str(subject)])


async def test_work_whose_process_died_is_taken_over_and_the_late_one_changes_nothing(
    ledger: Ledger, workspace: Workspace, clock: Clock, goals: httpx.AsyncClient
) -> None:
    subject = new_id()
    await ledger.put_off(workspace, subject)
    frozen = ledger.runner()
    (turn,) = await frozen._take(1)
    assert await ledger.runner().run_due() == 0
    clock.now += LEASE
    assert await ledger.runner().run_due() == 1
    await frozen._perform(turn)
    assert len(ledger.seen) == 2
    assert await written(goals) == [str(subject)]


async def test_work_that_is_cut_short_waits_for_no_lease(
    ledger: Ledger, workspace: Workspace, goals: httpx.AsyncClient
) -> None:
    begun = asyncio.Event()

    async def hang(session: AsyncSession, subject: UUID) -> None:
        begun.set()
        await asyncio.Event().wait()

    job_id = await ledger.put_off(workspace, new_id())
    task = asyncio.create_task(Runner(ledger.app, [Deferred(ledger.job.name, hang)]).run())
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    (waiting,) = await shown(goals, id=str(job_id))
    assert (waiting["state"], waiting["attempts"]) == ("waiting", 0)
    assert await ledger.runner().run_due() == 1


async def test_a_runner_begins_at_once_what_a_commit_put_off_and_ends_when_it_is_stopped(
    ledger: Ledger, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = ledger.runner()
    done = asyncio.Event()

    async def note(session: AsyncSession, subject: UUID) -> None:
        done.set()

    runner._jobs = {ledger.job.name: Deferred(ledger.job.name, note)}
    monkeypatch.setattr(ledger.app.state.database, "after_commit", runner.wake)
    task = asyncio.create_task(runner.run())
    await ledger.put_off(workspace, new_id())
    async with asyncio.timeout(4):
        await done.wait()
        runner.stop()
        await task


async def test_a_runner_outlives_whatever_goes_wrong(
    ledger: Ledger, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, done = ledger.runner(), asyncio.Event()
    take, failures = runner._take, [asyncpg.InternalClientError("?")]

    async def note(session: AsyncSession, subject: UUID) -> None:
        done.set()

    async def failing(most: int) -> Sequence[Any]:
        if failures:
            runner.wake()
            raise failures.pop()
        return await take(most)

    runner._jobs = {ledger.job.name: Deferred(ledger.job.name, note)}
    monkeypatch.setattr(runner, "_take", failing)
    await ledger.put_off(workspace, new_id())
    task = asyncio.create_task(runner.run())
    async with asyncio.timeout(4):
        await done.wait()
        runner.stop()
        await task


async def test_jobs_are_listed_by_state_and_name_and_page_by_page(
    ledger: Ledger, workspace: Workspace, goals: httpx.AsyncClient, clock: Clock
) -> None:
    ids: list[str] = []
    for _ in range(5):
        ids.append(str(await ledger.put_off(workspace, new_id(), timedelta(hours=len(ids)))))
        clock.forward(seconds=1)
    await ledger.runner().run_due()
    mine = {"name": ledger.job.name}
    assert [item["id"] for item in await shown(goals, **mine, state="waiting")] == ids[1:]
    assert [item["id"] for item in await shown(goals, **mine, state="done")] == ids[:1]
    assert [item["id"] for item in await shown(goals, **mine, sort="-changed_at")] == [ids[0], *ids[:0:-1]]
    first = (await goals.get("/v1/jobs", params={**mine, "limit": 3})).json()
    rest = (await goals.get("/v1/jobs", params={**mine, "limit": 3, "cursor": first["next_cursor"]})).json()
    assert [item["id"] for item in first["items"] + rest["items"]] == ids


async def test_a_workspace_sees_its_own_jobs_and_periodic_ones_and_changes_its_own_alone(
    ledger: Ledger, workspace: Workspace, other_workspace: Workspace, goals: httpx.AsyncClient, connect: Connect
) -> None:
    job_id = await ledger.put_off(other_workspace, new_id())
    assert await shown(goals, id=str(job_id)) == []
    assert (await goals.post(f"/v1/jobs/{job_id}/retry")).status_code == 404
    periodic, _ = counting()
    await run_once(ledger.app, periodic)
    (seen,) = await shown(goals, name=periodic.name)
    assert (await goals.post(f"/v1/jobs/{seen['id']}/retry")).json()["code"] == "not_given_up"
    assert (await connect("goals", workspace, "manager").get("/v1/jobs")).status_code == 403


async def test_what_is_long_done_is_forgotten(
    ledger: Ledger, workspace: Workspace, goals: httpx.AsyncClient, clock: Clock, connect: Connect
) -> None:
    await ledger.put_off(workspace, new_id())
    await ledger.runner().run_due()
    await sweep(ledger.app)
    assert len(await shown(goals, name=ledger.job.name)) == 1
    clock.forward(days=8)
    await sweep(ledger.app)
    assert await shown(connect("goals", workspace), name=ledger.job.name) == []


async def test_jobs_are_counted(
    ledger: Ledger, workspace: Workspace, clock: Clock, connect: Connect, stack: TestStack
) -> None:
    await ledger.put_off(workspace, new_id())
    ledger.fail = True
    await ledger.runner().run_due()
    periodic, _ = counting()
    await run_once(ledger.app, periodic)
    figures = (await connect("goals").get("/metrics")).text
    assert f'mops_jobs{{job="{ledger.job.name}",state="waiting"}} 1.0' in figures
    assert f'mops_job_duration_seconds_count{{job="{ledger.job.name}",outcome="failed"}} 1.0' in figures
    success = next(
        line for line in figures.splitlines() if f'last_success_timestamp_seconds{{job="{periodic.name}"' in line
    )
    assert float(success.split()[-1]) == clock.seconds()
    admin = await asyncpg.connect(stack.admin_dsn)
    await admin.execute("DELETE FROM goals.work WHERE name = $1", ledger.job.name)
    await admin.close()
    assert f'mops_jobs{{job="{ledger.job.name}"' not in (await connect("goals").get("/metrics")).text
