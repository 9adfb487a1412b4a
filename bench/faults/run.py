"""Decides what one run is: a stack of its own, load, rounds of faults, and a verdict after every so many of them."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.faults.bugs import Bug
from bench.faults.chaos import Chaos, Fault
from bench.faults.launch import BUG, REPLICAS
from bench.faults.load import Load
from bench.faults.oracle import Oracle, Verdict
from tests.stack.conftest import Running, started

SHOWN = 12
WORKERS = 8
CHECK_EVERY = 50  # rounds

Say = Callable[[str], None]


@dataclass
class Outcome:
    """How far a run came, and what was found at its end; it ends at the first verdict that isn't sound."""

    verdict: Verdict
    load: Load
    chaos: Chaos
    seconds: float


def attempt(
    rounds: Sequence[Sequence[Fault]], say: Say, *, seed: int, bug: str = "", check_every: int = CHECK_EVERY,
    workers: int = WORKERS, replicas: int = 1,
) -> Outcome:  # fmt: skip
    """One run on a stack of its own, which is gone afterwards unless it went red without a seeded bug."""
    folder = Path(tempfile.mkdtemp(prefix="mops-faults-"))
    kept = not bug
    try:
        with started(folder / "home", "bench.faults.launch", **{BUG: bug, REPLICAS: str(replicas)}) as stack:
            outcome = asyncio.run(
                under_fire(stack, rounds, say, seed=seed, check_every=check_every, workers=workers, replicas=replicas)
            )
        kept = kept and not outcome.verdict.sound
        return outcome
    finally:
        if kept:
            say(f"what the stack said and left is in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


async def under_fire(
    stack: Running, rounds: Sequence[Sequence[Fault]], say: Say, *, seed: int, check_every: int = CHECK_EVERY,
    workers: int = WORKERS, replicas: int = 1,
) -> Outcome:  # fmt: skip
    began = time.monotonic()
    async with Load(stack.home, stack.port, seed, replicas) as load:
        await load.start(workers)
        say(f"seed {seed}: {workers} workers are at it ({time.monotonic() - began:.0f} s)")
        chaos = Chaos(load)
        verdict = Verdict()
        for number, faults in enumerate(rounds, 1):
            await chaos.run(faults)
            if number % 5 == 0 or number == len(rounds):
                deaths = "  ".join(f"{what} {count}" for what, count in sorted(chaos.struck.items()))
                say(
                    f"{time.monotonic() - began:4.0f} s  round {number}/{len(rounds)}  {deaths}  |  acknowledged:"
                    f" {load.known.writes} writes, {load.known.posts} posts of {len(load.known.events)} events"
                )
            if number % check_every == 0 or number == len(rounds):
                verdict = await _check(load, chaos, say)
                if not verdict.sound:
                    break
                load.go_on()
        return Outcome(verdict, load, chaos, time.monotonic() - began)


async def _check(load: Load, chaos: Chaos, say: Say) -> Verdict:
    await load.rest()
    await chaos.all_ready()
    await load.authenticate()
    began = time.monotonic()
    verdict = await Oracle(load).judge()
    found = f"{len(verdict.lost)} lost, {len(verdict.doubled)} doubled, {len(verdict.wrong)} wrong"
    say(f"      checked in {time.monotonic() - began:.1f} s: {found}  {verdict.facts}")
    for word in ("lost", "doubled", "wrong"):
        for each in getattr(verdict, word)[:SHOWN]:
            say(f"        {word}: {each}")
    return verdict


def rounds_for(bug: Bug) -> list[list[Fault]]:
    """The few faults by which a bug shows: deaths at its points; load is enough where there are none."""
    if not bug.shows_at:
        return [[Fault("assets", "restart", 200)]]
    return [[Fault(part, "kill", 10, point, skip) for part, point in bug.shows_at] for skip in (0, 2, 5)]
