"""Decides where a local stack keeps its state, and that only one stack at a time uses it."""

import fcntl
import json
import os
import stat
import time
from pathlib import Path
from typing import Any

LEFTOVERS_END_WITHIN = 20.0


class HomeError(Exception):
    """Why this MOPS_HOME can't be used, and what would help."""


class Home:
    """The folder MOPS_HOME, claimed for as long as this process lives."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._held: list[int] = []

    @classmethod
    def from_environment(cls) -> "Home":
        return cls(Path(os.environ.get("MOPS_HOME") or ".mops"))

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    def claim(self) -> None:
        """Refuse if a stack runs here; after one that was killed, wait for the last of its processes to end."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._refuse_shared()
            self.path.chmod(0o700)
            ours = self._open("lock")
        except OSError as error:
            raise HomeError(f"MOPS_HOME can't be used: {error}") from error
        try:
            # Not inherited by children: it is free as soon as the supervisor is gone, however it went.
            fcntl.lockf(ours, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(ours)
            raise HomeError(f"a stack is already running on {self.path}: stop it, or set another MOPS_HOME") from None
        # Inherited by every child: it is free only when all of them are gone.
        everyone = self._open("lock.children")
        self._held = [ours, everyone]
        os.set_inheritable(everyone, True)
        deadline = time.monotonic() + LEFTOVERS_END_WITHIN
        while True:
            try:
                fcntl.flock(everyone, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise HomeError(
                        f"processes of a killed stack are still running: see {self.run}/*.pid and end them"
                    ) from None
                time.sleep(0.1)

    def _refuse_shared(self) -> None:
        """What everybody keeps things in isn't taken away from them."""
        place = self.path.resolve()
        if place.parent == place or place.stat().st_mode & stat.S_ISVTX:
            raise HomeError(f"MOPS_HOME is {self.path}, which others use too: name a folder of its own in it")

    def _open(self, name: str) -> int:
        return os.open(self.path / name, os.O_RDWR | os.O_CREAT, 0o600)

    def read(self, name: str) -> Any | None:
        try:
            return json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise HomeError(
                f"{self.path / name} isn't JSON ({error}): restore it, or start with a new MOPS_HOME"
            ) from None

    def write(self, name: str, value: Any) -> None:
        """All of it or nothing, and for its owner's eyes only."""
        unfinished = self.path / f"{name}.new"
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(value, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self.path / name)
