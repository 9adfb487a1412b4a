"""Decides whether a postmaster is alive, answers, or is in the way, whatever its files claim."""

import os
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

from deploy.postgres.binaries import NoPostgresError

# $1 is the postmaster. Standard input ends when whoever started us is gone, killed or not.
GUARD = """
trap '' HUP INT TERM
read -r _
kill -INT "$1" 2>/dev/null
tries=0
while kill -0 "$1" 2>/dev/null && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
kill -QUIT "$1" 2>/dev/null
"""


PROCESSES = Path("/proc")  # not on macOS
IMPOSSIBLE_PID = 2**31 - 1


def guard_command(postmaster: int) -> list[str]:
    """A process that stops the postmaster at the end of its own standard input; kill it when its ward is dead."""
    return ["/bin/sh", "-c", GUARD, "mops-postgres-guard", str(postmaster)]


def environment() -> dict[str, str]:
    """Ours without what would redirect a server or its tools."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG") and name != "DATABASE_URL"}


def answers(path: Path) -> bool:
    """Whether the server behind this socket would let someone log in now, found without logging in."""
    wanted = b"user\0mops\0database\0postgres\0\0"
    startup = struct.pack("!II", len(wanted) + 8, 3 << 16) + wanted
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(2)
            link.connect(str(path))
            link.sendall(startup)
            # R asks for the password; E is an error, such as "the database system is starting up". All of it is read,
            # so that the server sees an end and not a broken connection, which it would log.
            return link.recv(4096)[:1] == b"R"
    except OSError:
        return False


def _command_line(pid: int) -> str:
    """What runs under this id; empty if nothing does, or only its unreaped rest."""
    if (PROCESSES / "self").exists():
        try:
            state = (PROCESSES / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
            line = os.fsdecode((PROCESSES / str(pid) / "cmdline").read_bytes().replace(b"\0", b" "))
        except OSError:
            return ""
        return "" if state in "ZX" else line
    said = subprocess.run(["ps", "-ww", "-o", "stat=,command=", "-p", str(pid)], capture_output=True, text=True)
    state, _, line = said.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else line


def serves(pid: int, data: Path) -> bool:
    line = _command_line(pid)
    return "postgres" in line and str(data) in line


def clear_the_way(data: Path, link: Path) -> None:
    """Stop a postmaster that an earlier run left on `data`, and forget one that is dead.

    Postgres itself only asks whether *some* process has the id that its lock files name. After a crash, an id that
    now belongs to another program would make it refuse for ever.
    """
    lock = data / "postmaster.pid"
    try:
        pid = abs(int(lock.read_text().split("\n", 1)[0]))
    except (FileNotFoundError, ValueError):
        pid = 0
    if pid and serves(pid, data):
        for number, seconds in ((signal.SIGINT, 15), (signal.SIGQUIT, 5)):
            if _gone_after(pid, data, number, seconds):
                break
        else:
            raise NoPostgresError(f"process {pid}, a Postgres of an earlier run, doesn't stop: kill it")
    for file in (lock, link.with_name(f"{link.name}.lock")):
        _disown(file)


def _disown(lock: Path) -> None:
    """Name a process that can't exist, instead of removing the file: its other lines tell Postgres where to look for
    backends that outlived their postmaster."""
    try:
        _, newline, rest = lock.read_text().partition("\n")
    except FileNotFoundError:
        return
    lock.write_text(f"{IMPOSSIBLE_PID}{newline}{rest}")


def _gone_after(pid: int, data: Path, number: signal.Signals, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return True
    while serves(pid, data):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
