"""The embedded Postgres: how it starts, how it ends, and what it survives."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.postgres import cluster, process
from deploy.postgres.binaries import NoPostgresError
from tests.deploy.until import gone, until


@pytest.fixture(autouse=True)
def _without_external(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)


@pytest.fixture
def home() -> Iterator[Path]:
    """Short, as pytest's own folders may be too long for a socket."""
    with tempfile.TemporaryDirectory(prefix="mops-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "postgres"


def ask(url: str, *statements: str) -> Any:
    async def answer() -> Any:
        connection = await asyncpg.connect(url)
        try:
            result = None
            for statement in statements:
                result = await connection.fetchval(statement)
            return result
        finally:
            await connection.close()

    # A thread of its own: the session's event loop may be running in this one.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(answer())).result()


def postmaster_of(home: Path) -> int:
    return int((home / "data" / "postmaster.pid").read_text().split("\n", 1)[0])


def test_it_starts_and_leaves_nothing(home: Path) -> None:
    with cluster.running(home, durable=False) as running:
        assert ask(running.admin_dsn, "SELECT current_database()") == "mops"
        assert ask(running.admin_dsn, "SHOW server_encoding") == "UTF8"
        assert ask(running.admin_dsn, "SHOW listen_addresses") == ""
        postmaster = postmaster_of(home)
        assert not gone(postmaster)
    assert gone(postmaster)
    assert not home.exists()


def test_its_superuser_needs_the_password(home: Path) -> None:
    with cluster.running(home, durable=False) as running:
        wrong = running.admin_dsn.replace("mops:", "mops:x", 1)
        with pytest.raises(asyncpg.InvalidPasswordError):
            ask(wrong, "SELECT 1")
        assert (home / "password").stat().st_mode & 0o077 == 0


def test_rows_survive_kill_9_even_if_the_old_process_id_was_recycled(home: Path) -> None:
    with ExitStack() as first:
        running = first.enter_context(cluster.running(home))
        ask(running.admin_dsn, "CREATE TABLE kept (x int)", "INSERT INTO kept VALUES (42)")
        postmaster = postmaster_of(home)
        os.kill(postmaster, signal.SIGKILL)
        until(lambda: gone(postmaster), "the postmaster is dead")
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        for lock in (home / "data" / "postmaster.pid", home / ".s.PGSQL.5432.lock"):
            rest = lock.read_text().partition("\n")[2]
            lock.write_text(f"{sleeper.pid}\n{rest}")
        with cluster.running(home) as running:
            assert ask(running.admin_dsn, "SELECT x FROM kept") == 42
        assert sleeper.poll() is None
    finally:
        sleeper.communicate(b"\n")


def test_it_ends_when_whoever_runs_it_is_killed_and_starts_again(home: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from deploy.postgres import cluster\n"
        "with cluster.running(Path(sys.argv[1])): print('up', flush=True); input()"
    )
    runner = subprocess.Popen(
        [sys.executable, "-c", script, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert runner.stdin
    assert runner.stdout
    with runner.stdin, runner.stdout:
        assert runner.stdout.readline() == "up\n"
        postmaster = postmaster_of(home)
        runner.kill()
        runner.wait()
        until(lambda: gone(postmaster), "the guard has stopped the postmaster")
    with cluster.running(home) as running:
        assert ask(running.admin_dsn, "SELECT 1") == 1


def test_a_postmaster_that_was_left_behind_is_stopped_first(home: Path) -> None:
    server = cluster.prepare(home)
    server.initialise()
    with (home / "log").open("ab") as log:
        orphan = subprocess.Popen(server.command(), stdout=log, stderr=log, start_new_session=True)
    try:
        until(lambda: process.answers(server.socket), "the orphan answers")
        with cluster.running(home) as running:
            assert orphan.wait(10) is not None
            assert ask(running.admin_dsn, "SELECT 1") == 1
    finally:
        orphan.kill()
        orphan.wait()


@pytest.mark.parametrize("name", ["x" * 120, "with space, comma"])
def test_a_long_or_odd_home_has_its_socket_elsewhere(home: Path, name: str) -> None:
    odd = home.parent / name
    with cluster.running(odd, durable=False) as running:
        assert ask(running.admin_dsn, "SELECT 1") == 1
        elsewhere = Path(ask(running.admin_dsn, "SHOW unix_socket_directories"))
        assert elsewhere.stat().st_mode & 0o077 == 0
    assert not elsewhere.exists()


def test_an_unfinished_data_folder_is_made_anew(home: Path) -> None:
    (home / "data.unfinished" / "base").mkdir(parents=True)
    with cluster.running(home) as running:
        assert ask(running.admin_dsn, "SELECT 1") == 1


def test_a_password_that_was_never_written_is_made_anew_and_one_that_was_stays(home: Path) -> None:
    home.mkdir()
    (home / "password").touch()
    first = cluster.prepare(home).password_file.read_text()
    assert len(first) > 30
    assert cluster.prepare(home).password_file.read_text() == first
    assert [each.stat().st_mode & 0o777 for each in home.glob("password*")] == [0o600]


def test_data_of_a_version_that_is_not_here_is_refused_by_name(home: Path) -> None:
    (home / "data").mkdir(parents=True)
    (home / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(NoPostgresError, match="made by Postgres 9"), cluster.running(home):
        pass


def test_database_url_is_taken_as_it_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://me:pw@db.example/x?sslmode=require")
    with cluster.running(home) as running:
        assert running.admin_dsn == "postgresql://me:pw@db.example/x?sslmode=require"
    assert not home.exists()


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("postgresql://me:pw@db.example", "postgresql://me:pw@db.example/me"),
        ("postgresql://db.example/?user=me&password=pw", "postgresql://db.example/me?user=me&password=pw"),
        ("postgresql+asyncpg://a%40b@h?dbname=x", "postgresql://a%40b@h/x?dbname=x"),
    ],
)
def test_a_database_url_names_its_database_for_every_login(
    url: str, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert cluster.external() == taken


@pytest.mark.parametrize("url", ["postgresql://db.example", "postgresql://"])
def test_a_database_url_of_nobody_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(NoPostgresError, match="names neither"):
        cluster.external()


def test_a_database_url_of_something_else_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://db.example/x")
    with pytest.raises(NoPostgresError, match="DATABASE_URL"), cluster.running(home):
        pass
