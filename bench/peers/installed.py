"""Decides which versions of the peers are measured, and installs them once into a folder of their own: by npm, and for
Tailcall with a newer glibc beside the machine's own, from Debian's next release."""

import json
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
# What these depend on in turn is as of this day.
AS_OF = "2026-11-27"
NODE = {"node": "22.23.3"}
PACKAGES = {
    "hive": NODE | {
        "@graphql-hive/gateway": "2.15.1", "@graphql-mesh/compose-cli": "1.8.2", "@omnigraph/openapi": "0.112.4",
        "graphql": "16.15.0",
    },
    "tailcall": {"@tailcallhq/core-linux-x64-gnu": "1.6.14"},
    "postgraphile": NODE | {"postgraphile": "5.1.5"},
}  # fmt: skip
RELEASE = "trixie"
LIBRARIES = "root/usr/lib/x86_64-linux-gnu"


class Absent(Exception):
    """A peer can't be had here, and why."""


def install(name: str, folder: Path) -> Path:
    """The folder in which the peer is installed, with our configuration of it. Raises Absent."""
    where = folder / name
    npm_install(where, json.dumps({"private": True, "dependencies": PACKAGES[name]}, indent=2))
    shutil.copytree(HERE / name, where, dirs_exist_ok=True)
    return where


def npm_install(where: Path, package: str) -> None:
    """Installs what a package.json wants, once. Raises Absent."""
    where.mkdir(parents=True, exist_ok=True)
    said, done = where / "package.json", where / "installed"
    if not done.exists() or said.read_text() != package:
        done.unlink(missing_ok=True)
        said.write_text(package)
        _run(where, "npm", "install", "--no-audit", "--no-fund", "--loglevel=error", f"--before={AS_OF}")
        done.touch()


def newer_glibc(folder: Path) -> Path:
    """Where the libraries of a glibc lie that runs Tailcall; the machine's own stays as it is. Raises Absent."""
    where = folder / "glibc"
    if not (where / LIBRARIES / "libc.so.6").exists():
        (where / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        sites = _run(where, "apt-get", "indextargets", "--format", "$(REPO_URI) $(COMPONENT)", "Created-By: Packages")
        site = next((line.split()[0] for line in sites.splitlines() if "security" not in line), None)
        if site is None:
            raise Absent("apt knows no place of Debian's packages")
        signed = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
        (where / "sources.list").write_text(f"deb {signed} {site} {RELEASE} main\n")
        own = [
            f"Dir::Etc::sourcelist={where / 'sources.list'}", "Dir::Etc::sourceparts=/dev/null",
            f"Dir::State::lists={where / 'lists'}", "Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache=",
        ]  # fmt: skip
        options = [word for each in own for word in ("-o", each)]
        _run(where, "apt-get", *options, "update")
        _run(where, "apt-get", *options, "download", "libc6")
        _run(where, "dpkg-deb", "-x", str(next(where.glob("libc6_*.deb"))), "root")
    return where / LIBRARIES


def _run(where: Path, *command: str) -> str:
    try:
        return subprocess.run(command, cwd=where, check=True, text=True, capture_output=True).stdout
    except FileNotFoundError:
        raise Absent(f"there is no {command[0]} here") from None
    except subprocess.CalledProcessError as problem:
        raise Absent(f"{' '.join(command[:2])}: {problem.stderr.strip()[-500:]}") from None
