"""Decides what one supervised process is: how it is forked, what it inherits, and what its end means."""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

LONGEST_LINE = 64 * 1024
HEALTHY_AFTER = 10.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
ORPHAN_GRACE = 12.0


@dataclass
class Child:
    """One row of the stack. `body` runs in the forked process; its answer is the exit code, unless it executes."""

    name: str
    body: Callable[[], int]
    stop: signal.Signals = signal.SIGTERM
    grace: float = 10.0
    restart: bool = True
    # The body executes another program, which can't watch our pipe: this command, given the pid, does it instead.
    guard: Callable[[int], list[str]] | None = None
    pid: int = 0
    guard_pid: int = 0
    started: float = 0.0
    due: float = 0.0
    pause: float = SHORTEST_PAUSE
    code: int | None = None
    buffers: dict[int, bytes] = field(default_factory=dict)

    def ended(self, status: int, now: float) -> None:
        """Note the end, and when to start again: at once after a long life, ever later after short ones."""
        self.code = os.waitstatus_to_exitcode(status)
        self.pid = 0
        if now - self.started > HEALTHY_AFTER:
            self.pause = SHORTEST_PAUSE
        self.due = now + self.pause
        self.pause = min(self.pause * 2, LONGEST_PAUSE)

    def farewell(self) -> list[tuple[float, signal.Signals]]:
        """Which signals ask for the end, and after how many seconds."""
        if self.stop != signal.SIGINT:
            return [(0.0, self.stop), (self.grace, signal.SIGKILL)]
        # What stops on SIGINT is Postgres, and SIGQUIT tells it not to wait for its clients.
        return [(0.0, self.stop), (self.grace, signal.SIGQUIT), (self.grace + 5, signal.SIGKILL)]

    def how_it_ended(self) -> str:
        if self.code is not None and self.code < 0:
            return f"killed by {signal.Signals(-self.code).name}"
        return f"exit code {self.code}"

    def lines(self, reader: int, data: bytes) -> list[bytes]:
        """Whole lines so far; the rest waits for its end, but not for ever. No data: the pipe's end."""
        text = self.buffers.get(reader, b"") + data
        *whole, rest = text.split(b"\n")
        if rest and (not data or len(rest) > LONGEST_LINE):
            whole.append(rest)
            rest = b""
        self.buffers[reader] = rest
        if not data:
            del self.buffers[reader]
        return whole


def fork(body: Callable[[], int], output: int, lifeline: int, foreign: list[int], watches: bool) -> int:
    """Start a process of its own session with `output` as stdout and stderr, that ends when we do; answers its pid.

    `foreign` are descriptors of ours that it mustn't hold: a pipe ends only when its last holder is gone.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    # A signal that arrives before the child has let go of our handlers would be lost.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD})
    pid = os.fork()
    if pid == 0:
        _become(body, output, lifeline, foreign, watches)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return pid


def _become(body: Callable[[], int], output: int, lifeline: int, foreign: list[int], watches: bool) -> NoReturn:
    code = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        os.dup2(output, 1)
        os.dup2(output, 2)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        for descriptor in {nothing, output, *foreign} - {0, 1, 2}:
            os.close(descriptor)
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        if watches:
            threading.Thread(target=_end_with, args=(lifeline,), name="lifeline", daemon=True).start()
        code = body()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def _end_with(lifeline: int) -> None:
    """Outlive the supervisor by no more than a graceful stop, whatever the event loop is doing."""
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORPHAN_GRACE)
    os._exit(1)
