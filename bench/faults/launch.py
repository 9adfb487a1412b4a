"""Decides how the stack under fire differs from `make up`: crash points, counted effects, shorter waits, a bug."""

import asyncio
import os
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg

from bench.faults import bugs, points
from chassis import jobs, outbox, service, stack
from deploy import child, local
from deploy.supervisor import Supervisor

BUG, REPLICAS, SECOND = "FAULTS_BUG", "FAULTS_REPLICAS", "FAULTS_SECOND"
# How long a process must have lived to be started again at once, and how long what a dead process had taken waits:
# shorter, or a run of a thousand deaths would mostly wait. Their order is the product's: a post ends before its lease
# does, and the lease of a job is renewed before it is over.
HEALTHY_AFTER = 0.5
POST_SECONDS, LEASE = 4, timedelta(seconds=5)
RENEW_SECONDS = 2.0


def admin_file(home: Path) -> Path:
    return home / "crash" / "admin"


def main() -> int:
    here: Any = local
    serve, prepare = here.serve, here.prepare

    def serve_under_fire(part: stack.Part, address: local.Address, variables: dict[str, str]) -> int:
        process = part.name
        if SECOND in os.environ:
            process, address = second(process), replace(address, port=address.port + len(stack.parts()))
        become(part.name, process, Path(variables["MOPS_HOME"]), os.environ.get(BUG, ""))
        code: int = serve(part, address, variables)
        return code

    def prepare_probes(admin_dsn: str, *rest: Any) -> int:
        code: int = prepare(admin_dsn, *rest)
        if code == 0:
            asyncio.run(_make_probes(admin_dsn))
            file = admin_file(Path(os.environ["MOPS_HOME"]))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_text(admin_dsn)
        return code

    here.serve, here.prepare = serve_under_fire, prepare_probes
    if os.environ.get(REPLICAS) == "2":
        _start_twice()
    child.HEALTHY_AFTER = HEALTHY_AFTER
    return local.main()


def second(part: str) -> str:
    """The name of a part's second replica, which listens behind all first ones."""
    return f"{part}-2"


def _start_twice() -> None:
    start = Supervisor.start

    def start_both(self: Supervisor, one: child.Child) -> None:
        def be_second() -> int:
            os.environ[SECOND] = "yes"
            return one.body()

        start(self, one)
        if one.name in stack.parts():
            start(self, replace(one, name=second(one.name), body=be_second, buffers={}))

    starting: Any = Supervisor
    starting.start = start_both


def become(part: str, process: str, home: Path, bug: str) -> None:
    """Prepares this process, before any app is imported, to be a part under fire."""
    outbox.POST_SECONDS, outbox.LEASE = POST_SECONDS, LEASE
    jobs.RENEW_SECONDS, jobs.LEASE = RENEW_SECONDS, LEASE
    making: Any = service
    create = making.create_service

    def create_counting(*arguments: Any, **named: Any) -> Any:
        app = create(*arguments, **named)
        app.state.consumes = points.count_effects(part, app.state.consumes)
        if app.state.keeps:
            app.state.keeps = points.count_kept(part, app.state.keeps)
        return app

    making.create_service = create_counting
    if bug:
        bugs.install(bug, part)
    points.install(part, process, home)


async def _make_probes(admin_dsn: str) -> None:
    connection = await asyncpg.connect(admin_dsn)
    try:
        await connection.execute(points.EFFECTS)
    finally:
        await connection.close()


if __name__ == "__main__":
    sys.exit(main())
