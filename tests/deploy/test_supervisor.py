"""Real processes under a real supervisor: restarts, ends, and nothing left behind."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.deploy.until import gone, until


class Run:
    """One supervisor in a process of its own; everything it says is in a file, so that it never waits for a reader."""

    def __init__(self, folder: Path, *children: str) -> None:
        self.run = folder / "run"
        self.output = folder / "output"
        self.children = children
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.deploy.supervised", str(self.run), *children],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        until(lambda: "watching\n" in self.said, f"everything started: {self.said}")
        self.descendants = {child.pid for child in psutil.Process(self.process.pid).children(recursive=True)}

    @property
    def said(self) -> str:
        return self.output.read_text()

    def pid(self, child: str) -> int:
        return int((self.run / f"{child}.pid").read_text())

    def nothing_left(self) -> bool:
        return all(map(gone, self.descendants))


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[list[Run]]:
    started: list[Run] = []
    yield started
    for run in started:
        run.process.kill()
        run.process.wait()
        until(run.nothing_left, "children of a killed supervisor end")


def start(runs: list[Run], folder: Path, *children: str) -> Run:
    run = Run(folder, *children)
    runs.append(run)
    return run


def test_output_comes_in_whole_lines_with_a_prefix(runs: list[Run], tmp_path: Path) -> None:
    run = start(runs, tmp_path, "steady")
    until(lambda: "steady says hello" in run.said, "its first line")
    assert "steady  | steady says hello\n" in run.said
    assert "did it once\n" in run.said
    run.process.terminate()
    assert run.process.wait(10) == 0
    assert "steady  | and half a line\n" in run.said


def test_no_id_of_a_killed_stack_is_told_of(runs: list[Run], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for name in ("steady", "goals"):
        (tmp_path / "run" / f"{name}.pid").write_text(f"{os.getpid()}\n")
    run = start(runs, tmp_path, "steady")
    assert [each.name for each in (tmp_path / "run").glob("*.pid")] == ["steady.pid"]
    assert run.pid("steady") in run.descendants


@pytest.mark.parametrize("child", ["steady", "executed"])
def test_a_killed_child_starts_again_under_a_new_pid(runs: list[Run], tmp_path: Path, child: str) -> None:
    run = start(runs, tmp_path, child)
    first = run.pid(child)
    os.kill(first, signal.SIGKILL)
    until(lambda: run.pid(child) != first, "a new pid")
    run.descendants.add(run.pid(child))
    assert f"{child} ended (killed by SIGKILL); starts again in 0.1 s" in run.said
    assert not gone(run.pid(child))


def test_a_child_that_keeps_crashing_is_started_ever_later(runs: list[Run], tmp_path: Path) -> None:
    run = start(runs, tmp_path, "crashing")
    pauses = re.compile(r"crashing ended \(exit code 7\); starts again in ([\d.]+) s")
    until(lambda: len(pauses.findall(run.said)) >= 4, "four crashes")
    assert pauses.findall(run.said)[:4] == ["0.1", "0.2", "0.4", "0.8"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_that_come_twice_stop_everything_once(runs: list[Run], tmp_path: Path, number: int) -> None:
    run = start(runs, tmp_path, "executed", "steady", "stubborn")
    os.killpg(run.process.pid, number)
    os.kill(run.process.pid, number)
    assert run.process.wait(8) == 0, "well before anybody's full grace"
    assert run.nothing_left()
    assert list(run.run.iterdir()) == []


def test_killing_the_supervisor_leaves_no_process(runs: list[Run], tmp_path: Path) -> None:
    run = start(runs, tmp_path, "executed", "steady")
    assert len(run.descendants) == 3, "two children and a guard"
    run.process.kill()
    run.process.wait()
    until(run.nothing_left, "all have ended by themselves")


def test_a_stack_goes_on_when_nobody_reads_its_output_any_more(runs: list[Run], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.deploy.supervised", str(tmp_path / "run"), "crashing", "steady"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process.stdout:
        while process.stdout.readline() != "watching\n":
            assert process.poll() is None
    try:
        pid = tmp_path / "run" / "crashing.pid"
        for _ in range(2):
            before = pid.read_text()
            until(lambda before=before: pid.read_text() != before, "another restart, with its line")  # type: ignore[misc]
        assert process.poll() is None
    finally:
        process.terminate()
    assert process.wait(10) == 0


def test_a_stack_stops_when_the_parent_that_it_was_told_of_is_killed(runs: list[Run], tmp_path: Path) -> None:
    output = tmp_path / "output"
    script = f'PARENT=$$ "$0" -m tests.deploy.supervised "{tmp_path}/run" executed steady >"{output}" 2>&1; true'
    shell = subprocess.Popen(["/bin/sh", "-c", script, sys.executable])
    until(lambda: output.exists() and "watching" in output.read_text(), "everything started")
    descendants = [child.pid for child in psutil.Process(shell.pid).children(recursive=True)]
    assert len(descendants) == 4
    shell.kill()
    shell.wait()
    until(lambda: all(map(gone, descendants)), "supervisor, children and guard have ended")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_a_signal_to_make_alone_stops_the_stack(tmp_path: Path, number: int) -> None:
    output = tmp_path / "output"
    run = f'"{sys.executable}" -m tests.deploy.supervised "{tmp_path}/run" executed steady >"{output}" 2>&1'
    recipe = f"up:\n\t@exec {run}\n"
    (tmp_path / "Makefile").write_text("export PARENT = $(shell echo $$PPID)\n" + recipe)
    make = subprocess.Popen(["make", "-f", str(tmp_path / "Makefile"), "up"], start_new_session=True)
    until(lambda: output.exists() and "watching" in output.read_text(), "everything started")
    descendants = [child.pid for child in psutil.Process(make.pid).children(recursive=True)]
    make.send_signal(number)
    make.wait(20)
    until(lambda: all(map(gone, descendants)), "the stack has ended")
