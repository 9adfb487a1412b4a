"""Decides when the stack may be called ready: every part is, and all have heard of the workspaces there are."""

import http.client
import json
import time
from collections.abc import Mapping

COMPLAIN_AFTER = 60.0
WHOLE_REASON = 500


def wait(host: str, ports: Mapping[str, int]) -> int:
    """Return once every part's /readyz is 200 and the gateway's first news are delivered.

    Says after a minute what it is waiting for, and goes on waiting.
    """
    complain = time.monotonic() + COMPLAIN_AFTER
    waiting = dict(ports)
    while True:
        reasons = {name: reason for name, port in waiting.items() if (reason := _unready(name, host, port)) is not None}
        waiting = {name: ports[name] for name in reasons}
        if not waiting:
            return 0
        if time.monotonic() > complain:
            for name, reason in reasons.items():
                print(f"{name} isn't ready after {COMPLAIN_AFTER:.0f} s: {reason}", flush=True)
            complain = time.monotonic() + COMPLAIN_AFTER
        time.sleep(0.05)


def _unready(name: str, host: str, port: int) -> str | None:
    """What /readyz says while it isn't 200."""
    link = http.client.HTTPConnection(host, port, timeout=5)
    try:
        link.request("GET", "/readyz")
        answer = link.getresponse()
        text = answer.read(WHOLE_REASON).decode(errors="replace").strip()
        if answer.status != 200:
            return f"/readyz answers {answer.status}: {text}"
        news = json.loads(text)["outbox"]["waiting"] if name == "gateway" else 0
        return f"{news} events wait to be delivered" if news else None
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"/readyz doesn't answer ({error or type(error).__name__})"
    finally:
        link.close()
