"""The assets service as a process of its own, for what only a process shows: its memory, its limits, its death."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from joserfc.jwk import KeySet

from chassis.testing import START, TestStack
from tests.deploy.until import until

SERVE = """
import json, os, resource, socket
import uvicorn
from chassis.identity import Verifier
from services.assets.app import app
given = json.loads(os.environ["TEST_GIVEN"])
if given["most_bytes"]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (given["most_bytes"], given["most_bytes"]))
app.state.verifier = Verifier("http://gateway", None, lambda: given["now"])
app.state.verifier.trust(given["keys"])
config = uvicorn.Config(app, log_level="warning", access_log=False)
uvicorn.Server(config).run(sockets=[socket.socket(fileno=given["socket"])])
"""


@dataclass(frozen=True)
class Process:
    url: str
    home: Path
    process: psutil.Process

    @property
    def memory(self) -> int:
        """Bytes that are its own: code and pages shared with others don't count."""
        return int(self.process.memory_full_info().uss)

    @property
    def files(self) -> list[Path]:
        return [path for path in (self.home / "assets").rglob("*") if path.is_file()]


@contextmanager
def serving(stack: TestStack, home: Path, most_bytes: int = 0) -> Iterator[Process]:
    """`most_bytes`: no file of the process grows beyond, as on a disk that is full."""
    settings = stack.settings("assets")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        given = {
            "keys": KeySet([stack.key]).as_dict(private=False), "now": START.timestamp() + 1, "most_bytes": most_bytes,
            "socket": listener.fileno(),
        }  # fmt: skip
        variables = {
            "MOPS_PART": "assets", "MOPS_DATABASE_URL": settings.database_url.get_secret_value(),
            "MOPS_WORKER_ROLE": settings.worker_role, "MOPS_HOME": str(home),
            "MOPS_SECRET_KEY": settings.secret_key.get_secret_value(), "TEST_GIVEN": json.dumps(given),
        }  # fmt: skip
        started = subprocess.Popen(
            [sys.executable, "-c", SERVE],
            env=os.environ | variables,
            pass_fds=[listener.fileno()],
            stdout=subprocess.DEVNULL,
        )
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            until(lambda: httpx.get(f"{url}/livez", timeout=30).status_code == 200, "the service serves")
            yield Process(url, home, psutil.Process(started.pid))
        finally:
            started.kill()
            started.wait()
