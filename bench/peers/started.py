"""Decides how each gateway is started for a measurement: one process each, over the same services."""

import asyncio
import gc
import multiprocessing
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from bench.alone import bearer, migrated, serve_gateway
from bench.load import until_it_answers
from bench.peers.installed import Absent, install, newer_glibc
from bench.peers.shapes import Shaped
from bench.sampled import serve_samples

# As the configurations beside this file have them.
PORTS = {"ours": 28_480, "hive": 28_481, "tailcall": 28_482}
SERVICES = 28_483


def hive(folder: Path) -> subprocess.Popen[bytes]:
    """Its supergraph is composed of what the services say of themselves."""
    where = install("hive", folder)
    node, tools = where / "node_modules/node/bin/node", where / "node_modules/.bin"
    composed: list[str | Path] = [node, tools / "mesh-compose", "-c", "mesh.config.ts", "-o", "supergraph.graphql"]
    subprocess.run(composed, cwd=where, check=True, capture_output=True)
    command: list[str | Path] = [node, tools / "hive-gateway", "--jit", "supergraph", "-c", "gateway.config.ts"]
    return _begun(where, *command, "-h", "127.0.0.1", "-p", str(PORTS["hive"]), NODE_ENV="production")


def tailcall(folder: Path) -> subprocess.Popen[bytes]:
    """Its loader is named, so that it finds the newer glibc; what isn't there is the machine's own."""
    where, libraries = install("tailcall", folder), newer_glibc(folder)
    loader: list[str | Path] = [
        libraries / "ld-linux-x86-64.so.2",
        "--library-path",
        f"{libraries}:/lib/x86_64-linux-gnu",
    ]
    binary = where / "node_modules/@tailcallhq/core-linux-x64-gnu/bin/tailcall"
    return _begun(where, *loader, binary, "start", "tailcall.graphql", TAILCALL_TRACKER="false")


def _begun(where: Path, *command: str | Path, **variables: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, cwd=where, env={**os.environ, **variables}, stdout=subprocess.DEVNULL)


PEERS = {"hive": hive, "tailcall": tailcall}


@contextmanager
def running(folder: Path) -> Iterator[tuple[dict[str, psutil.Process], dict[str, str]]]:
    """The processes of all gateways that can be had here, and the headers that ours wants."""
    forked = multiprocessing.get_context("fork")
    gc.collect()
    gc.freeze()
    with migrated() as stack, ExitStack() as until:

        def begun(target: Callable[..., None], *arguments: Any) -> psutil.Process:
            process = forked.Process(target=target, args=arguments)
            process.start()
            until.callback(process.join, 10)
            until.callback(process.terminate)
            return psutil.Process(process.pid)

        begun(serve_samples, SERVICES, Shaped)
        found = {"ours": begun(serve_gateway, stack, PORTS["ours"], SERVICES)}
        asyncio.run(until_it_answers(SERVICES))
        for name, start in PEERS.items():
            try:
                peer = start(folder)
            except Absent as problem:
                print(f"{name} is left out: {problem}")
                continue
            until.callback(peer.wait, 10)
            until.callback(peer.terminate)
            found[name] = psutil.Process(peer.pid)
        for name in found:
            asyncio.run(until_it_answers(PORTS[name]))
        yield found, bearer(stack)
