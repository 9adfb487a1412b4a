"""Decides what the supervisor's tests supervise: tiny children, and an executed one with a guard; run as a program."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from deploy.child import Child
from deploy.postgres import process
from deploy.supervisor import Stopped, Supervisor


def steady() -> int:
    print("steady says hello\nand half a line", end="", flush=True)
    time.sleep(3600)
    return 0


def stubborn() -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return steady()


def crashing() -> int:
    print("crashing again", flush=True)
    return 7


def executed() -> int:
    # Like Postgres it runs another program, stops on SIGINT, and watches no pipe of ours.
    script = "import signal, time; print('executed', flush=True); time.sleep(3600)"
    os.execv(sys.executable, [sys.executable, "-c", script])


CHILDREN = {
    "steady": Child("steady", steady),
    "stubborn": Child("stubborn", stubborn, grace=0.5),
    "crashing": Child("crashing", crashing),
    "executed": Child("executed", executed, stop=signal.SIGINT, grace=5, guard=process.guard_command),
}


def main() -> int:
    parent = int(os.environ["PARENT"]) if "PARENT" in os.environ else None
    with Supervisor(Path(sys.argv[1]), parent) as supervisor, contextlib.suppress(Stopped):
        for name in sys.argv[2:]:
            supervisor.start(CHILDREN[name])
        assert supervisor.finish("good", lambda: print("did it once") or 0)
        assert not supervisor.finish("bad", lambda: 1)
        supervisor.say("watching")
        supervisor.watch()
    return 0


if __name__ == "__main__":
    sys.exit(main())
