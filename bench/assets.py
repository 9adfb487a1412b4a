"""Measures bytes in and out: 1 GB up and down, 10,000 logos down, beside nginx (or sendfile) and beside the bare disk.

Left out: TLS, and a client on another machine. Logos are asked for by four connections of one process, which costs both
sides the same.
"""

import asyncio
import hashlib
import json
import os
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from sqlalchemy import text

from chassis import migrate
from chassis.db import as_owner
from chassis.fields import new_id
from chassis.stack import parts
from chassis.testing import Clock, TestStack
from deploy.postgres import cluster, databases, roles
from tests.assets.process import Process, serving
from tests.parts import Workspace

MEBIBYTE = 1024 * 1024
LARGE = int(os.environ.get("BENCH_MEBIBYTES", "1024")) * MEBIBYTE
LOGOS = int(os.environ.get("BENCH_LOGOS", "10000"))
KINDS_OF_LOGO = 200
CONNECTIONS = 4
ROUNDS = 3
BARS = {"download_1gb": 0.5, "download_logos": 0.5, "memory_mb": 50}

NGINX = """
daemon off; worker_processes auto; error_log {home}/error.log; pid {home}/pid;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; client_body_temp_path {home}/a;
  proxy_temp_path {home}/b; fastcgi_temp_path {home}/c; uwsgi_temp_path {home}/d; scgi_temp_path {home}/e;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


@contextmanager
def workspace_of(home: Path) -> Iterator[tuple[TestStack, Workspace]]:
    """A database with everything in it, and one workspace that assets knows."""
    with cluster.running(home / "postgres", durable=True) as running:
        name = f"mops_bench_{secrets.token_hex(4)}"
        stack = TestStack(
            admin_dsn=asyncio.run(databases.create(running.admin_dsn, name)), name=f"mops_{secrets.token_hex(3)}",
            home=home, clock=Clock(), passwords={part: secrets.token_hex(8) for part in parts()},
            service_secrets={part: secrets.token_hex(16) for part in parts()},
        )  # fmt: skip
        workspace = Workspace(new_id(), stack)
        asyncio.run(_prepare(stack, workspace))
        try:
            yield stack, workspace
        finally:
            asyncio.run(databases.drop(running.admin_dsn, name))
            asyncio.run(roles.drop(running.admin_dsn, stack.name))


async def _prepare(stack: TestStack, workspace: Workspace) -> None:
    await roles.ensure(stack.admin_dsn, stack.name, stack.passwords)
    await migrate.upgrade(stack.admin_dsn, "assets", stack.name)
    async with as_owner(stack.admin_dsn, stack.name, "assets") as session:
        statement = text("INSERT INTO workspace VALUES (:id, 'Bench', 'Europe/Berlin', 'EUR')")
        await session.execute(statement, {"id": workspace.id})


@contextmanager
def peer(root: Path, home: Path) -> Iterator[tuple[str, int]]:
    """What serves the same files: nginx where there is one, else a server that does nothing but sendfile."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        nginx = os.environ.get("BENCH_NGINX") or shutil.which("nginx")
        if nginx is None:
            threading.Thread(target=_sendfile, args=(listener, root), daemon=True).start()
            yield "sendfile", port
            return
    home.mkdir()
    (home / "nginx.conf").write_text(NGINX.format(home=home, root=root, port=port))
    # Its workers change to a user that needn't be able to read here.
    command = [nginx, "-c", str(home / "nginx.conf"), "-p", str(home), "-g", "user root;" if os.getuid() == 0 else ""]
    started = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        _reachable(port)
        yield "nginx", port
    finally:
        started.terminate()
        started.wait()


def _reachable(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit("the peer doesn't answer")


def _sendfile(listener: socket.socket, root: Path) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_send_files, args=(connection, root), daemon=True).start()


def _send_files(connection: socket.socket, root: Path) -> None:
    with connection:
        while asked := connection.recv(65536):
            with (root / asked.split()[1].decode().lstrip("/")).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
                connection.sendfile(file)


def fetch(connection: socket.socket, path: str, headers: str, buffer: bytearray) -> int:
    """One GET over a connection that stays open; the bytes of its body."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n{headers}\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(65536)
    head, _, body = head.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    left = length - len(body)
    while left:
        left -= connection.recv_into(buffer, min(left, len(buffer)))
    return length


def fetch_all(port: int, paths: list[str], headers: str) -> None:
    """Every path once, over four connections at a time."""

    def some(mine: list[str]) -> None:
        buffer = bytearray(MEBIBYTE)
        with socket.create_connection(("127.0.0.1", port)) as connection:
            for path in mine:
                fetch(connection, path, headers, buffer)

    threads = [threading.Thread(target=some, args=(paths[n::CONNECTIONS],)) for n in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


BLOCK = secrets.token_bytes(MEBIBYTE)


def body(seed: int) -> Iterator[bytes]:
    yield b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\nFilm\r\n'
    yield b'--b\r\nContent-Disposition: form-data; name="kind"\r\n\r\nvideo\r\n'
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="film.mp4"\r\n\r\n' + seed.to_bytes(8, "big")
    for _ in range(LARGE // MEBIBYTE):
        yield BLOCK
    yield b"\r\n--b--\r\n"


def to_disk(path: Path, seed: int) -> None:
    """What an upload can't do without: hash, write, sync."""
    digest = hashlib.sha256()
    with path.open("wb", buffering=0) as file:
        for block in body(seed):
            digest.update(block)
            file.write(block)
        os.fsync(file.fileno())
    path.unlink()


def measure(process: Process, workspace: Workspace, home: Path) -> dict[str, object]:
    token = workspace.token("admin")
    headers = f"Authorization: Bearer {token}\r\n"
    port = int(process.url.rpartition(":")[2])
    root = process.home / "assets" / str(workspace.id)
    with httpx.Client(base_url=process.url, headers={"Authorization": f"Bearer {token}"}, timeout=600) as client:
        logos = []
        fields = {"title": "Logo", "kind": "logo"}
        for number in range(KINDS_OF_LOGO):
            content = b"\x89PNG\r\n\x1a\n" + number.to_bytes(4, "big") + BLOCK[:10_000]
            made = client.post("/v1/assets", data=fields, files={"file": ("a.png", content)}).raise_for_status().json()
            logos.append((f"/v1/assets/{made['id']}/content", f"/{made['sha256'][:2]}/{made['sha256']}"))
        fetch_all(port, [ours for ours, _ in logos], headers)
        before, most = process.memory, 0
        multipart = {"Content-Type": "multipart/form-data; boundary=b"}
        up: list[float] = []
        disk: list[float] = []
        large = {}
        for seed in range(ROUNDS):
            disk.append(seconds(lambda seed=seed: to_disk(home / "plain", seed)))  # type: ignore[misc]
            begun = time.perf_counter()
            large = client.post("/v1/assets", content=body(seed), headers=multipart).raise_for_status().json()
            up.append(time.perf_counter() - begun)
            most = max(most, process.memory)
    ours = f"/v1/assets/{large['id']}/content"
    theirs = f"/{large['sha256'][:2]}/{large['sha256']}"
    asked = [logos[number % KINDS_OF_LOGO] for number in range(LOGOS)]
    times: dict[str, list[float]] = {name: [] for name in ("ours", "peer", "our logos", "peer's logos")}
    with peer(root, home / "peer") as (name, peer_port):
        for _ in range(ROUNDS):
            times["peer"].append(seconds(lambda: fetch_all(peer_port, [theirs], "")))
            times["ours"].append(seconds(lambda: fetch_all(port, [ours], headers)))
            most = max(most, process.memory)
            times["peer's logos"].append(seconds(lambda: fetch_all(peer_port, [each[1] for each in asked], "")))
            times["our logos"].append(seconds(lambda: fetch_all(port, [each[0] for each in asked], headers)))
            most = max(most, process.memory)
    middle = {key: statistics.median(value) for key, value in times.items()}
    for key, value in {"upload": statistics.median(up), "disk": statistics.median(disk), **middle}.items():
        print(f"{key:>14}: {value:8.2f} s")
    return {
        "bench": "assets",
        "peer": name,
        "ratios": {
            "download_1gb": round(middle["peer"] / middle["ours"], 3),
            "download_logos": round(middle["peer's logos"] / middle["our logos"], 3),
            "upload_1gb_of_disk": round(statistics.median(disk) / statistics.median(up), 3),
            "memory_mb": round((most - before) / MEBIBYTE, 1),
        },
        "bars": BARS,
    }


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with workspace_of(home) as (stack, workspace), serving(stack, home / "ours") as process:
            found = measure(process, workspace, home)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
