"""Decides how frontends' own clients meet a gateway: a stack of its own, packages as they were on a day, the typed
story of story.ts, and live.mjs, under which the gateway is killed once for each client."""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from bench.peers.installed import npm_install
from tests.stack.conftest import ROOT, Running, started

HERE = Path(__file__).parent
WHO = "demo-manager"
STORIES, LIVES = 3, 5  # a line each


def met(stack: Running, where: Path, *command: str) -> list[str]:
    """The lines that a program says to our gateway's face; an error where it finds anything wrong."""
    token = stack.client("gateway", WHO).headers["authorization"].removeprefix("Bearer ")
    environment = {**os.environ, "SCHEMA": str(ROOT / "gateway" / "schema.graphql"), "NO_PROXY": "127.0.0.1"}
    graph, pid_file = f"{stack.url('gateway')}/graphql", str(stack.home / "run" / "gateway.pid")
    said = subprocess.run(
        [*command, graph, token, stack.url("goals"), pid_file],
        cwd=where, env=environment, text=True, stdout=subprocess.PIPE, timeout=180,
    )  # fmt: skip
    print(said.stdout, end="")
    assert said.returncode == 0, f"{command} found something wrong"
    return said.stdout.splitlines()


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m bench.clients", description=(__doc__ or "").partition(":")[0])
    place = Path(os.environ.get("MOPS_HOME", ".mops")) / "peers"
    asked.add_argument("folder", nargs="?", type=Path, default=place, help="where they are installed once (200 MB)")
    where = asked.parse_args().folder.resolve() / "clients"
    npm_install(where, (HERE / "package.json").read_text())
    shutil.copytree(HERE, where, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    with tempfile.TemporaryDirectory(prefix="mops-bench-") as folder, started(Path(folder) / "home") as stack:
        lives = [line for line in met(stack, where, "node", "live.mjs") if line.startswith("ok ")][1:]
        stories = met(stack, where, "npm", "run", "-s", "story", "--")
        ratios = {
            "stories": sum(line.endswith(": told") for line in stories) / STORIES,
            "subscriptions over a death": len(lives) / LIVES,
        }
    print(json.dumps({"bench": "clients", "ratios": ratios, "bars": dict.fromkeys(ratios, 1.0)}))


if __name__ == "__main__":
    main()
