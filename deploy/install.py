"""Decides what is installed into .venv, and when that can be skipped; needs only the standard library."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import ssl
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
RUNTIME = ROOT / "requirements.lock"
# Holds every pin of the runtime lock and more, so that installing it never takes away what a running stack uses.
DEV = ROOT / "requirements-dev.lock"
UV_LOCK = ROOT / "requirements-uv.lock"
OURS = ("chassis", "services", "gateway", "deploy")
FEWEST_PIP = (22, 3)  # the first that installs into another interpreter's environment


class InstallError(Exception):
    """What stands in the way, and what would help, in a line."""


def say(text: str) -> None:
    print(text, flush=True)


def runs(*command: str | Path) -> bool:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, env=environment())
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def run(*command: str | Path) -> None:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, env=environment())
    except OSError as error:
        raise InstallError(f"{command[0]} doesn't start: {error}") from error
    if done.returncode:
        raise InstallError(f"this failed: {' '.join(map(str, command))}")


def environment() -> dict[str, str]:
    return (
        os.environ
        | {
            "UV_CACHE_DIR": str(VENV / "cache" / "uv"),
            "PYTHONPYCACHEPREFIX": str(VENV / "pycache"),
            "PIP_NO_CACHE_DIR": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
        }
        | ({"UV_SYSTEM_CERTS": "1"} if has_certificates() else {})
    )


def has_certificates() -> bool:
    """Whether this system has certificates of its own, among them perhaps a company's; uv would rather use its own."""
    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile or (paths.capath and os.listdir(paths.capath)))


def fingerprint(lock: Path) -> str:
    """What the stamp must say for `lock` to count as installed: the lock, and the interpreter that it was for."""
    interpreter = (VENV / "pyvenv.cfg").read_bytes() if (VENV / "pyvenv.cfg").exists() else b""
    return hashlib.sha256(lock.read_bytes() + interpreter).hexdigest()


def stamp(lock: Path) -> Path:
    return VENV / f"{lock.name}.installed"


def is_installed(lock: Path) -> bool:
    try:
        return PYTHON.exists() and stamp(lock).read_text() == fingerprint(lock)
    except FileNotFoundError:
        return False


def make_environment() -> None:
    """A venv without pip, which needs no ensurepip; one that works is kept, whatever Python it was made with."""
    if runs(PYTHON, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"):
        return
    # The Python it was made with is gone. The directory stays: it holds our lock, and caches that are still good.
    for part in ("bin", "lib", "lib64", "include", "pyvenv.cfg"):
        found = VENV / part
        if found.is_dir() and not found.is_symlink():
            shutil.rmtree(found)
        else:
            found.unlink(missing_ok=True)
    say(f"making .venv with Python {'.'.join(map(str, sys.version_info[:3]))}")
    run(sys.executable, "-m", "venv", "--without-pip", VENV)


def find_pip() -> list[str | Path] | None:
    """The environment's own pip, or this Python's; Debian's Python may have neither."""
    own: list[str | Path] = [PYTHON, "-m", "pip"]
    if runs(*own, "--version") or (runs(PYTHON, "-m", "ensurepip") and runs(*own, "--version")):
        return own
    wanted = f"import pip, sys; sys.exit(tuple(map(int, pip.__version__.split('.')[:2])) < {FEWEST_PIP})"
    if runs(sys.executable, "-c", wanted):
        return [sys.executable, "-m", "pip", "--python", PYTHON]
    return None


def install(lock: Path) -> None:
    with_uv: list[str | Path] = ["pip", "install", "--python", PYTHON, "--require-hashes", "-r", lock]
    with_pip: list[str | Path] = ["install", "--no-compile", "--require-hashes", "-r", lock]
    quietly: list[str | Path] = ["--quiet", "--progress-bar", "off"]
    if not runs(UV, "--version"):
        pip = find_pip()
        if pip is None:
            uv = shutil.which("uv")
            if uv is None:
                version = f"{sys.version_info[0]}.{sys.version_info[1]}"
                raise InstallError(
                    f"this Python comes without pip and ensurepip: install it (Debian, Ubuntu: apt install"
                    f" python{version}-venv), then run make again"
                )
            run(uv, *with_uv)
            return
        say("installing uv")
        run(*pip, *with_pip[:-1], UV_LOCK, *quietly)
        if not runs(UV, "--version"):
            say("uv doesn't run on this machine: installing with pip, which takes longer")
            run(*pip, *with_pip)
            return
    try:
        run(UV, *with_uv)
    except InstallError:
        # uv doesn't read pip's settings, and only those may know of this network's mirror or certificates.
        pip = find_pip()
        if pip is None:
            raise
        say("uv couldn't: trying pip")
        run(*pip, *with_pip)


def compile_all() -> None:
    """Bytecode beforehand: a part that compiles as it starts keeps the memory that this took, each part its own."""
    libraries = next((VENV / "lib").glob("python3.*")) / "site-packages"
    # Its exit code tells of files that no Python of this version reads, which some libraries carry and never import.
    runs(PYTHON, "-m", "compileall", "-q", "-j", "0", libraries, *(ROOT / name for name in OURS))


def ensure(lock: Path) -> None:
    if is_installed(lock):
        return
    VENV.mkdir(exist_ok=True)
    with (VENV / "install.lock").open("w") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another make that is installing")
            fcntl.flock(guard, fcntl.LOCK_EX)
        if is_installed(lock):
            return
        started = time.monotonic()
        make_environment()
        say(f"installing {lock.name}")
        install(lock)
        compile_all()
        for covered in {lock, RUNTIME}:
            stamp(covered).write_text(fingerprint(covered))
        say(f"installed {lock.name} in {time.monotonic() - started:.1f} s")


def main() -> int:
    try:
        ensure(DEV if "--dev" in sys.argv[1:] else RUNTIME)
    except InstallError as problem:
        print(f"mops can't be installed: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
