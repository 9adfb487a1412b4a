"""The README is true: its story, run as it stands there, ends as it says."""

import os
import re
import subprocess
from pathlib import Path

from chassis.stack import parts
from tests.stack.conftest import ROOT, Running

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_readme_s_story_ends_as_it_says(running: Running, tmp_path: Path) -> None:
    commands = [block for block in blocks("sh") if not block.startswith(("make ", "docker "))]
    wanted = blocks("json")[0].strip()
    # What was posted is in the numbers within five seconds; whoever types takes as long, a script asks again.
    last = commands[-1].strip().splitlines()[-1].removeprefix("echo && ")
    asks = f'answer=$({last}); [ "$answer" = "$1" ] && break'
    again = f'for _ in {{1..50}}; do {asks}; sleep 0.1; done; echo; echo "$answer"'
    script = "set -euo pipefail\n" + "\n".join([*commands, again])
    for row in parts().values():
        script = script.replace(f"127.0.0.1:{8000 + row.port}", f"127.0.0.1:{running.port + row.port}")
    script = script.replace(".mops/", f"{running.home}/")
    direct = os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    done = subprocess.run(
        ["bash", "-c", script, "story", wanted], capture_output=True, text=True, cwd=tmp_path, env=direct, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == wanted


def test_every_make_command_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"make ([a-z-]+)", " ".join(re.findall(r"`make [a-z-]+`", README)) + " ".join(blocks("sh"))))
    assert named
    assert named <= targets
