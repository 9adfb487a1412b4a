"""Decides which process dies when, and how: planned from one seed, struck at counts of operations or named points."""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from bench.faults import points
from bench.faults.launch import second
from bench.faults.load import Load
from chassis.stack import parts

POSTGRES = "postgres"
SPREAD = 40  # operations within which a round's faults strike
FREEZE_SECONDS = 2.0
DEATHS = ("kill", "quit")
BACK_WITHIN = 120.0


@dataclass(frozen=True)
class Fault:
    """What happens to a part, or to its second replica, when `after` more operations are done since the round began.
    With a point: it dies when it next passes that, after `skip` passes."""

    part: str
    kind: str  # "kill", "quit" (Postgres's immediate shutdown), "restart", "freeze", "backend" (one of Postgres's own)
    after: int
    point: str = ""
    skip: int = 0


def plan(seed: int, kills: int, postgres: int, only: list[str], replicas: int = 1) -> list[list[Fault]]:
    """Rounds of faults: each part dies once a round, half the time at its points in turn; Postgres now and then."""
    rng = random.Random(f"{seed}/faults")
    turns = {part: rng.sample(points.POINTS[part], len(points.POINTS[part])) for part in only if part != POSTGRES}
    rounds = []
    for number in range(max(kills, postgres) if turns else postgres):
        faults = []
        for part, order in turns.items():
            if number < kills:
                point = order[number // 2 % len(order)] if number % 2 == 0 else ""
                process = second(part) if rng.randrange(replicas) else part
                faults.append(Fault(process, "kill", rng.randrange(SPREAD), point, rng.randrange(4) if point else 0))
        every = max(1, kills // max(1, postgres)) if turns else 1
        if POSTGRES in only and number % every == every - 1 and number // every < postgres:
            kind = "quit" if number // every % 5 == 4 else "kill"
            faults.append(Fault(POSTGRES, kind, rng.randrange(SPREAD)))
        rounds.append(faults)
        if number % 10 == 4 and turns:
            # A round of its own, so that no death hides what becomes of those who wait.
            frozen, asked = rng.choice(list(turns)), rng.choice(list(turns))
            rounds.append([Fault(frozen, "freeze", rng.randrange(SPREAD)), Fault(asked, "restart", SPREAD)])
            if POSTGRES in only:
                rounds[-1].append(Fault(POSTGRES, "backend", 2 * SPREAD))
    return rounds


class Chaos:
    """Strikes, and sees to it that what was struck comes back."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.home: Path = load.home
        self.struck: Counter[str] = Counter()
        self.at_points: Counter[str] = Counter()
        self.not_passed = 0

    def pid(self, process: str) -> int:
        return int((self.home / "run" / f"{process}.pid").read_text())

    async def run(self, faults: Sequence[Fault]) -> None:
        began = self.load.done
        await asyncio.gather(*(self._strike(fault, began) for fault in faults))
        await self.all_ready()
        await self.load.stay_authenticated()
        # Some work goes well before the next round.
        await self.load.reached(self.load.done + SPREAD // 2)

    async def _strike(self, fault: Fault, began: int) -> None:
        await self.load.reached(began + fault.after)
        pid = self.pid(fault.part)
        if fault.kind == "freeze":
            await self._freeze(pid)
        elif fault.point:
            await self._die_at(fault, pid)
        elif fault.kind == "backend":
            # Postgres then ends all others, and goes through its log as after a crash of its own.
            backends = [each for each in psutil.Process(pid).children() if "[local]" in " ".join(each.cmdline())]
            if backends:
                backends[0].kill()
        else:
            signals = {"kill": signal.SIGKILL, "quit": signal.SIGQUIT, "restart": signal.SIGTERM}
            os.kill(pid, signals[fault.kind])
        if fault.kind not in ("freeze", "backend"):
            await self._back(fault.part, pid)
        part = fault.part.partition("-")[0]
        self.struck[part if fault.kind in DEATHS else f"{part} {fault.kind}"] += 1

    async def _die_at(self, fault: Fault, pid: int) -> None:
        points.arm(self.home, fault.part, fault.point, fault.skip)
        target = self.load.done + 8 * SPREAD
        while self.pid(fault.part) == pid and _alive(pid):
            if self.load.done >= target:
                self.not_passed += 1
                points.disarm(self.home, fault.part)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                return
            self.load.raise_broken()
            await asyncio.sleep(0.02)
        self.at_points[f"{fault.part} {fault.point}"] += 1

    async def _freeze(self, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        try:
            with suppress(TimeoutError):
                # Everybody may come to wait for it, so not for ever.
                async with asyncio.timeout(FREEZE_SECONDS):
                    await self.load.reached(self.load.done + SPREAD)
        finally:
            os.kill(pid, signal.SIGCONT)

    async def _back(self, part: str, pid: int) -> None:
        """Until the supervisor has started it again."""
        deadline = time.monotonic() + BACK_WITHIN
        while self.pid(part) == pid:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{part} wasn't started again within {BACK_WITHIN:.0f} s")
            await asyncio.sleep(0.02)

    async def all_ready(self) -> None:
        replicas = range(self.load.replicas)
        await asyncio.gather(*(self._ready(part, replica) for part in parts() for replica in replicas))

    async def _ready(self, part: str, replica: int) -> None:
        deadline = time.monotonic() + BACK_WITHIN
        while True:
            with suppress(aiohttp.ClientError, TimeoutError, OSError):
                async with self.load.http.get(f"{self.load.url(part, replica)}/readyz") as answer:
                    if answer.status == 200:
                        return
            if time.monotonic() > deadline:
                raise RuntimeError(f"{part} isn't ready again within {BACK_WITHIN:.0f} s")
            await asyncio.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
