"""Decides when processes start, start again and stop; one loop, without threads, so that it can always fork."""

import contextlib
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from deploy.child import Child, fork

COLOURS = (36, 32, 33, 35, 34, 31)


class Stopped(Exception):
    """Somebody asked the stack to stop."""


def caught_endings(pid: int) -> int:
    """Which signals that ask to end a process has handlers for, as a mask; none where the system doesn't tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), "0")
    return int(caught, 16) & sum(1 << (each - 1) for each in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM))


class Supervisor:
    """Owns every process it starts. Leave its `with` block, and all of them are gone."""

    def __init__(self, run: Path, parent: int | None = None) -> None:
        self._run = run
        self._parent_caught = 0 if parent is None else caught_endings(parent)
        self._parent = parent  # when this process is no longer our parent, it was killed, and so are we asked to stop
        self._children: list[Child] = []
        self._stopping = False
        # poll, not epoll: a forked child shares an epoll object with us, and would change what we listen to.
        self._selector = selectors.PollSelector()
        self._lifeline, self._our_end = os.pipe()
        self._wakeup, self._signalled = os.pipe()
        self._terminal = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def __enter__(self) -> "Supervisor":
        self._run.mkdir(mode=0o700, exist_ok=True)
        # Of a stack that was killed: what has these ids by now may be anybody's.
        for stale in self._run.glob("*.pid"):
            stale.unlink()
        for end in (self._wakeup, self._signalled):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._signalled, warn_on_full_buffer=False)
        self._selector.register(self._wakeup, selectors.EVENT_READ, None)
        # It may come twice, from a terminal or `make` and from whoever signals the whole group.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stopping = True
        # Backwards: what came last needs what came first.
        running = [child for child in self._children if child.pid]
        for stop in dict.fromkeys(child.stop for child in reversed(running)):
            self._end([child for child in running if child.stop == stop])
        self._pump(0)
        for child in self._children:
            self._pid_file(child).unlink(missing_ok=True)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self._selector.close()
        for end in (self._lifeline, self._our_end, self._wakeup, self._signalled):
            os.close(end)

    def _ask_to_stop(self, *_: object) -> None:
        self._stopping = True

    def start(self, child: Child) -> None:
        self._children.append(child)
        self._start(child)

    def finish(self, name: str, body: Callable[[], int]) -> bool:
        """Run something once in a process of its own, while all else goes on; whether it went well."""
        task = Child(name, body, restart=False)
        self.start(task)
        while task.pid:
            self._turn()
        self._pump(0)
        self._children.remove(task)
        return task.code == 0

    def watch(self) -> None:
        """Keep the children running until somebody asks to stop."""
        while True:
            self._turn()

    def say(self, text: str, name: str = "", colour: int = 0) -> None:
        prefix = f"{name:<7} | " if name else ""
        if colour and self._terminal:
            prefix = f"\x1b[{colour}m{prefix}\x1b[0m"
        try:
            sys.stdout.write(f"{prefix}{text}\n")
            sys.stdout.flush()
        except OSError:
            # Whoever read our output is gone; the stack isn't.
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115

    def _left_by_parent(self) -> bool:
        """Whether whoever started us is gone, or was asked to stop and now waits for us: make passes on SIGTERM alone,
        and catches a signal no more once it has caught it."""
        if self._parent is None:
            return False
        return os.getppid() != self._parent or bool(self._parent_caught & ~caught_endings(self._parent))

    def _turn(self) -> None:
        if self._stopping or self._left_by_parent():
            raise Stopped
        now = time.monotonic()
        waiting = [child.due for child in self._children if child.restart and not child.pid]
        for child in self._children:
            if child.restart and not child.pid and child.due <= now:
                self._start(child)
        self._pump(max(0.0, min([1.0, *(due - now for due in waiting)])))

    def _start(self, child: Child) -> None:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        self._selector.register(reader, selectors.EVENT_READ, child)
        held = [int(key.fd) for key in self._selector.get_map().values()] + [self._our_end, self._signalled]
        child.started = time.monotonic()
        child.pid = fork(child.body, writer, self._lifeline, held, watches=child.guard is None)
        if child.guard:
            command = child.guard(child.pid)
            child.guard_pid = fork(lambda: self._become_guard(command), writer, self._lifeline, held, watches=False)
        os.close(writer)
        if child.restart:
            unfinished = self._pid_file(child).with_suffix(".new")
            unfinished.write_text(f"{child.pid}\n")
            unfinished.replace(self._pid_file(child))

    def _become_guard(self, command: list[str]) -> int:
        os.dup2(self._lifeline, 0)
        os.execv(command[0], command)

    def _pid_file(self, child: Child) -> Path:
        return self._run / f"{child.name}.pid"

    def _pump(self, seconds: float) -> None:
        """Show what was said, and notice who ended."""
        for key, _ in self._selector.select(seconds):
            with contextlib.suppress(BlockingIOError):
                data = os.read(int(key.fd), 65536)
                if key.data is not None:
                    self._show(key.data, int(key.fd), data)
        for child in self._children:
            if child.pid and (ended := os.waitpid(child.pid, os.WNOHANG))[0]:
                self._bury(child, ended[1])

    def _show(self, child: Child, reader: int, data: bytes) -> None:
        colour = COLOURS[self._children.index(child) % len(COLOURS)] if child in self._children else 0
        for line in child.lines(reader, data):
            self.say(line.decode(errors="replace"), child.name if child.restart else "", colour)
        if not data:
            self._selector.unregister(reader)
            os.close(reader)

    def _bury(self, child: Child, status: int) -> None:
        if child.guard_pid:
            os.kill(child.guard_pid, signal.SIGKILL)
            os.waitpid(child.guard_pid, 0)
            child.guard_pid = 0
        child.ended(status, time.monotonic())
        if child.restart and not self._stopping:
            self.say(
                f"{child.name} ended ({child.how_it_ended()}); starts again in {child.due - time.monotonic():.1f} s"
            )

    def _end(self, children: list[Child]) -> None:
        """Ask all of them at once, each for as long as its own grace lasts; then insist."""
        began = time.monotonic()
        plans = [(child, child.farewell()) for child in children]
        while any(child.pid and plan for child, plan in plans):
            for child, plan in plans:
                if child.pid and plan and time.monotonic() - began >= plan[0][0]:
                    os.kill(child.pid, plan.pop(0)[1])
            self._pump(0.05)
        while any(child.pid for child in children):
            self._pump(1)
