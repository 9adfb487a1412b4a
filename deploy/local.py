"""Decides how the whole stack runs on this machine: the target of `make up`."""

import argparse
import contextlib
import errno
import gc
import importlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from chassis import stack
from chassis.settings import in_url, reached_at
from deploy import credentials, readiness
from deploy.child import Child
from deploy.credentials import Credentials
from deploy.home import Home, HomeError
from deploy.postgres import cluster, dsn, process, roles
from deploy.postgres.binaries import NoPostgresError
from deploy.prepare import prepare
from deploy.supervisor import Stopped, Supervisor

# Imported once, here, and shared by every part that is forked afterwards: each takes long, and none starts a thread.
HEAVY = (
    "asyncpg",
    "cryptography.hazmat.primitives.ciphers.aead",
    "fastapi",
    "httpcore",
    "httptools",
    "httpx",
    "joserfc.jwt",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.ext.asyncio",
    "sqlmodel",
    "structlog",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
    "chassis.service",
    "chassis.serving",
)
# What only some process may know; every other setting of the caller's reaches all parts.
PRIVATE = (
    "DATABASE_URL",
    "MOPS_DATABASE_URL",
    "MOPS_WORKER_ROLE",
    "MOPS_SERVICE_SECRET",
    "MOPS_SECRET_KEY",
    "MOPS_SIGNING_KEYS",
)


class StartError(Exception):
    """Why the stack can't start, and what would help."""


@dataclass(frozen=True)
class Address:
    host: str
    port: int

    @classmethod
    def from_environment(cls) -> "Address":
        given = os.environ.get("MOPS_PORT") or "8000"
        if not given.isdecimal() or not 0 < int(given) <= 65535 - len(stack.parts()):
            raise StartError(f"MOPS_PORT is {given!r}, but should be a port number such as 8000")
        return cls(os.environ.get("MOPS_HOST") or "127.0.0.1", int(given))

    @property
    def reachable(self) -> str:
        return reached_at(self.host)

    def of(self, part: stack.Part) -> int:
        return self.port + part.port

    def refuse_taken_ports(self) -> None:
        for part in stack.parts().values():
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((self.host, self.of(part)))
                except OSError as error:
                    if error.errno == errno.EADDRINUSE:
                        raise StartError(
                            f"port {self.of(part)}, where {part.name} listens, is taken: free it, or set MOPS_PORT"
                            f" (now {self.port}) to another; the stack takes five ports from there"
                        ) from None
                    raise StartError(f"can't listen on MOPS_HOST {self.host}: {error.strerror}") from None


def preload() -> None:
    for name in HEAVY:
        importlib.import_module(name)
    # A library's own threads are unknown to Python, but not to Linux.
    tasks = Path("/proc/self/task")
    if (len(list(tasks.iterdir())) if tasks.exists() else threading.active_count()) > 1:
        raise StartError("an import started a thread, and a process with threads can't be forked safely")
    # What exists now is never collected, so that no collection copies the pages that the children share.
    gc.collect()
    gc.freeze()


def environment(part: stack.Part, made: Credentials, admin_dsn: str, home: Home, address: Address) -> dict[str, str]:
    """All that one part is told."""
    shared = {name: value for name, value in os.environ.items() if name not in PRIVATE and not name.startswith("PG")}
    here = {"MOPS_HOME": str(home.path), "MOPS_HOST": address.host, "MOPS_PORT": str(address.port)}
    # On one machine whoever asks is who builds: the graph explains itself, unless told otherwise.
    return {"MOPS_INTROSPECTION": "true"} | shared | here | private(part, made, admin_dsn)


def private(part: stack.Part, made: Credentials, admin_dsn: str) -> dict[str, str]:
    """Who a part is and its secrets, and nothing of the others' secrets."""
    login = roles.login_of(made.stack, part.schema)
    return {
        "MOPS_PART": part.name,
        "MOPS_DATABASE_URL": dsn.with_login(admin_dsn, login, made.database[part.schema]),
        "MOPS_WORKER_ROLE": roles.worker_of(made.stack, part.schema),
        "MOPS_SERVICE_SECRET": made.service_secrets[part.name],
        "MOPS_SECRET_KEY": made.secret_key,
    }


def serve(part: stack.Part, address: Address, variables: dict[str, str]) -> int:
    """Become one part; runs in a forked process."""
    os.environ.clear()
    os.environ.update(variables)
    import uvicorn

    from chassis.serving import collect_seldom, served

    # All that an import makes stays: to look through it for garbage, again and again, is a fifth of a start.
    gc.disable()
    module, _, name = part.app.partition(":")
    app = getattr(importlib.import_module(module), name)
    gc.enable()
    collect_seldom()
    server = uvicorn.Server(served(app, host=address.host, port=address.of(part)))
    server.run()
    return 0 if server.started else 3


def become_postgres(server: cluster.Server) -> NoReturn:
    """Become the postmaster; runs in a forked process, at the first start and after each crash."""
    try:
        server.initialise()
        process.clear_the_way(server.data, server.socket)
    except NoPostgresError as problem:
        print(problem, flush=True)
        sys.exit(1)
    command = server.command()
    os.execve(command[0], command, process.environment())


def service(part: stack.Part, address: Address, variables: dict[str, str]) -> Child:
    body: Callable[[], int] = lambda: serve(part, address, variables)  # noqa: E731
    return Child(part.name, body)


def run(home: Home, address: Address, supervisor: Supervisor, afterwards: contextlib.ExitStack) -> None:
    began = time.monotonic()
    supervisor.say(f"mops starts; its state is in {home.path}")
    server: cluster.Server | None = None
    admin_dsn = cluster.external()
    if admin_dsn is None:
        server = cluster.prepare(home.postgres)
        admin_dsn = server.admin_dsn
        afterwards.callback(server.tidy)
        supervisor.start(postgres(server))
    # While Postgres starts on the other core.
    made = credentials.ensure(home)
    preload()
    supervisor.say(f"libraries ({time.monotonic() - began:.1f} s since the start)")
    settings_of: Callable[[stack.Part], dict[str, str]] = lambda part: private(part, made, admin_dsn)  # noqa: E731
    if not supervisor.finish("prepare", lambda: prepare(admin_dsn, made, server, settings_of, lambda _: home.path)):
        raise StartError("the database couldn't be prepared: the reason is above")
    parts = stack.parts().values()
    for part in parts:
        supervisor.start(service(part, address, environment(part, made, admin_dsn, home, address)))
    ports = {part.name: address.of(part) for part in parts}
    if supervisor.finish("ready", lambda: readiness.wait(address.reachable, ports)):
        supervisor.say(f"every part answers ({time.monotonic() - began:.1f} s since the start)")
        supervisor.say(f"mops is ready: http://{in_url(address.reachable)}:{address.port}")
    supervisor.watch()


def postgres(server: cluster.Server) -> Child:
    return Child(
        "postgres",
        lambda: become_postgres(server),
        stop=signal.SIGINT,
        grace=20.0,
        guard=process.guard_command,
    )


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m deploy.local", description="Run the whole stack here.")
    arguments.add_argument("--parent", type=int, metavar="PID", help="stop when this parent process is gone")
    parent = arguments.parse_args().parent
    home = Home.from_environment()
    try:
        address = Address.from_environment()
        home.claim()
        address.refuse_taken_ports()
        with (
            contextlib.ExitStack() as afterwards,
            Supervisor(home.run, parent) as supervisor,
            contextlib.suppress(Stopped),
        ):
            run(home, address, supervisor, afterwards)
    except (HomeError, StartError, NoPostgresError) as problem:
        print(f"mops can't start: {problem}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
