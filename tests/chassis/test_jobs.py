"""What a job promises: its turn is taken once across replicas, and what became of it is kept."""

import asyncio
from datetime import timedelta

import asyncpg
from fastapi import FastAPI

from chassis.fields import new_id
from chassis.jobs import Job, run_once
from chassis.testing import Clock, TestStack


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


async def test_a_job_that_fails_is_told_of_and_comes_round_again(
    apps: dict[str, FastAPI], clock: Clock, stack: TestStack
) -> None:
    async def run(app: FastAPI) -> None:
        raise RuntimeError("no ink")

    job = Job(f"test_{new_id()}", timedelta(minutes=1), run)
    await run_once(apps["goals"], job)
    admin = await asyncpg.connect(stack.admin_dsn)
    told = await admin.fetchval("SELECT last_error FROM goals.job WHERE name = $1", job.name)
    assert told.startswith("RuntimeError: no ink")
    await admin.close()
    clock.forward(minutes=1)
    assert await run_once(apps["goals"], job)
