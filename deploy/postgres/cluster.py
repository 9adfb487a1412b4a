"""Decides where a Postgres of our own keeps its data, how it is tuned, and what starts and stops it."""

import hashlib
import locale
import os
import re
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from deploy.postgres import binaries, dsn, process
from deploy.postgres.binaries import NoPostgresError

SUPERUSER = DATABASE = "mops"
PORT = 5432  # names the socket's file; nothing listens on TCP
LONGEST_SOCKET_PATH = 100  # macOS allows 103 bytes, Linux 107

SETTINGS = {
    "listen_addresses": "",
    # On a machine that runs all of it, and whose own cache holds what this doesn't.
    "shared_buffers": "32MB",
    "max_connections": "200",
    "wal_buffers": "2MB",
    "max_wal_size": "256MB",
    "maintenance_work_mem": "32MB",
    "max_worker_processes": "4",
    "max_parallel_workers": "2",
    "autovacuum_max_workers": "2",
    "jit": "off",
    "huge_pages": "off",
    # In the data folder: segments in /dev/shm would outlive a killed server whose data is then removed.
    "dynamic_shared_memory_type": "mmap",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_checkpoints": "off",
    "lc_messages": "C",
}
THROWAWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
}


@dataclass(frozen=True)
class Cluster:
    """A server that answers: the URL of its superuser, in the database that is ours."""

    admin_dsn: str


@dataclass(frozen=True)
class Server:
    """A server of our own that can be started: everything decided, nothing running."""

    home: Path
    durable: bool
    programs: binaries.Binaries
    socket_folder: Path

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def password_file(self) -> Path:
        return self.home / "password"

    @property
    def socket(self) -> Path:
        return self.socket_folder / f".s.PGSQL.{PORT}"

    @property
    def admin_dsn(self) -> str:
        password = self.password_file.read_text().strip()
        return f"postgresql://{SUPERUSER}:{password}@/{DATABASE}?host={quote(str(self.socket_folder))}"

    def command(self) -> list[str]:
        """The postmaster in the foreground; its process id is that of whoever executes this."""
        settings = SETTINGS | {"unix_socket_directories": str(self.socket_folder), "port": str(PORT)}
        settings |= {} if self.durable else THROWAWAY
        if self.programs.major >= 18:
            settings["io_method"] = "sync"  # three I/O workers fewer
        given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return self.programs.command("postgres", "-D", str(self.data), *given)

    def initialise(self) -> None:
        """Make the data folder if there is none: whole, or not at all."""
        if self.data.exists():
            return
        unfinished = self.home / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        collation = [f"--locale={_installed_locale()}"]
        if self.programs.major >= 17:
            collation = ["--locale-provider=builtin", "--locale=C.UTF-8"]
        initdb = self.programs.command(
            *("initdb", "-D", str(unfinished), "-U", SUPERUSER, "--encoding=UTF8", *collation),
            *("--auth=scram-sha-256", f"--pwfile={self.password_file}", *([] if self.durable else ["--no-sync"])),
        )
        self._run(initdb, "")
        single = self.programs.command(
            *("postgres", "--single", "-D", str(unfinished), "-c", "log_checkpoints=off", "postgres")
        )
        self._run(single, f"CREATE DATABASE {DATABASE};\n")
        unfinished.rename(self.data)

    def tidy(self) -> None:
        """Remove what may lie outside `home`, once nothing runs."""
        if self.socket_folder != self.home:
            shutil.rmtree(self.socket_folder, ignore_errors=True)

    def _run(self, command: list[str], text: str) -> None:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, cwd=self.home, env=process.environment()
        )
        # Single-user mode exits 0 whatever became of the statement.
        if done.returncode or "ERROR:" in done.stderr:
            raise NoPostgresError(f"{command[-1]} couldn't make the data folder: {done.stderr.strip()}")


def _installed_locale() -> str:
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        return "C"
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    return "C.UTF-8"


def external() -> str | None:
    """The server that DATABASE_URL names, if it does, in the spelling that every library understands."""
    url = os.environ.get("DATABASE_URL", "").strip()
    if not url:
        return None
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.split("+")[0] not in ("postgres", "postgresql"):
        raise NoPostgresError("DATABASE_URL isn't a postgresql:// URL")
    found = dsn.with_named_database(f"postgresql://{rest}")
    if found is None:
        raise NoPostgresError("DATABASE_URL names neither a database nor a user: postgresql://USER:PASSWORD@HOST/NAME")
    return found


def prepare(home: Path, durable: bool = True) -> Server:
    """Decide everything about the server that lives in `home`; what an earlier run left in its way is removed.

    The caller makes sure that nobody else uses `home`.
    """
    home = home.absolute()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    version = home / "data" / "PG_VERSION"
    programs = binaries.find(int(version.read_text()) if version.exists() else None)
    server = Server(home, durable, programs, _socket_folder(home))
    _ensure_password(server.password_file)
    process.clear_the_way(server.data, server.socket)
    return server


def _ensure_password(path: Path) -> None:
    """Whole or not at all: with half a password a start that was interrupted would be the last one."""
    if path.exists() and path.stat().st_size:
        return
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(24) + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _socket_folder(home: Path) -> Path:
    """Beside the data, or, where that path is too long or too odd for a socket, a private folder with a short one."""
    plain = re.fullmatch(r"[\w./-]+", str(home), re.ASCII)
    if plain and len(os.fsencode(home / f".s.PGSQL.{PORT}")) <= LONGEST_SOCKET_PATH:
        return home
    name = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"mops-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise NoPostgresError(f"{folder} isn't a private folder of ours: remove it, or use a shorter MOPS_HOME")
    return folder


@contextmanager
def running(home: Path, *, durable: bool = True) -> Iterator[Cluster]:
    """A server for as long as the block lasts; one that isn't durable takes its data with it.

    With DATABASE_URL set, that server, untouched.
    """
    if url := external():
        yield Cluster(url)
        return
    server = prepare(home, durable)
    server.initialise()
    log = server.home / "log"
    with log.open("ab") as output:
        postmaster = subprocess.Popen(
            server.command(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=process.environment(),
            start_new_session=True,
        )
    # Closed by our death too, whichever way it comes: then the guard stops the server.
    watched, lifeline = os.pipe()
    guard = subprocess.Popen(process.guard_command(postmaster.pid), stdin=watched, start_new_session=True)
    os.close(watched)
    try:
        _await_answer(server, postmaster, log)
        yield Cluster(server.admin_dsn)
    finally:
        _stop(postmaster)
        guard.kill()
        guard.wait()
        os.close(lifeline)
        if not durable:
            shutil.rmtree(server.home, ignore_errors=True)
        server.tidy()


def _await_answer(server: Server, postmaster: "subprocess.Popen[bytes]", log: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not process.answers(server.socket):
        if postmaster.poll() is not None or time.monotonic() > deadline:
            said = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
            raise NoPostgresError(f"Postgres didn't start:\n{said}")
        time.sleep(0.02)


def _stop(postmaster: "subprocess.Popen[bytes]") -> None:
    for number, seconds in ((signal.SIGINT, 20), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
        postmaster.send_signal(number)
        try:
            postmaster.wait(seconds)
            return
        except subprocess.TimeoutExpired:
            continue
