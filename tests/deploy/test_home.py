"""MOPS_HOME: one stack at a time, and files for its owner's eyes only."""

import asyncio
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import uvloop

from deploy.home import Home, HomeError
from deploy.local import Address, StartError

CLAIM = (
    "import sys, os; from pathlib import Path; from deploy.home import Home\n"
    "Home(Path(sys.argv[1])).claim(); print('mine', flush=True); input()"
)


def test_a_second_claim_is_refused_until_the_first_process_is_dead(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin
    assert holder.stdout
    with holder.stdin, holder.stdout:
        assert holder.stdout.readline() == "mine\n"
        refused = subprocess.run([sys.executable, "-c", CLAIM, str(tmp_path)], capture_output=True, text=True)
        assert f"a stack is already running on {tmp_path}" in refused.stderr
        holder.kill()
        holder.wait()
    taken = subprocess.run([sys.executable, "-c", CLAIM, str(tmp_path)], input="\n", capture_output=True, text=True)
    assert taken.stdout == "mine\n"


@pytest.mark.parametrize("way", ["shared", "link", "shared/../shared"])
def test_a_folder_that_everybody_uses_is_refused_and_stays_everybodys(tmp_path: Path, way: str) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (tmp_path / "link").symlink_to(shared)
    with pytest.raises(HomeError, match="a folder of its own"):
        Home(tmp_path / way).claim()
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777
    assert list(shared.iterdir()) == []


def test_files_are_private_and_whole(tmp_path: Path) -> None:
    home = Home(tmp_path)
    os.umask(os.umask(0o022))
    home.write("a.json", {"x": 1})
    home.write("a.json", {"x": 2})
    assert home.read("a.json") == {"x": 2}
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_file_that_was_never_written_reads_as_none(tmp_path: Path) -> None:
    assert Home(tmp_path).read("a.json") is None


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text("{")
    with pytest.raises(HomeError, match=r"secrets\.json isn't JSON"):
        Home(tmp_path).read("secrets.json")


def test_a_taken_port_is_named_with_its_variable() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=rf"port {port}, where gateway listens, is taken: .*MOPS_PORT"):
            Address("127.0.0.1", port).refuse_taken_ports()


@pytest.mark.parametrize("port", ["x", "0", "65535", "-1", "²"])
def test_a_port_that_is_none_is_refused(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOPS_PORT", port)
    with pytest.raises(StartError, match="MOPS_PORT"):
        Address.from_environment()


def test_what_listens_on_a_host_is_reached_where_it_is_said_to_be() -> None:
    async def connect(host: str) -> None:
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, 0)
        try:
            _, writer = await asyncio.open_connection(Address(host, 1).reachable, server.sockets[0].getsockname()[1])
            writer.close()
        finally:
            server.close()

    hosts = ["127.0.0.1", "0.0.0.0"] + (["::1", "::"] if Path("/proc/net/if_inet6").exists() else [])
    # As a part is served; on a thread of its own, as the session's loop is running in this one.
    with ThreadPoolExecutor(1) as pool:
        for host in hosts:
            pool.submit(uvloop.run, connect(host)).result(10)
