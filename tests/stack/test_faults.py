"""What was acknowledged survives whatever dies: the short form of `make bench-faults`."""

import pytest

from bench.faults.bugs import BUGS
from bench.faults.chaos import POSTGRES, Fault
from bench.faults.run import attempt, rounds_for
from deploy.postgres import cluster

# Every process dies at a named point, by a count of operations, and with Postgres gone; one freezes, one restarts.
ROUNDS = [
    [
        Fault("gateway", "kill", 0, "graph.before_answer"),
        Fault("goals", "kill", 5, "relay.after_post"),
        Fault("assets", "kill", 0, "upload.kept"),
        Fault("budget", "kill", 5, "write.before_answer"),
        Fault("metrics", "kill", 10, "flush.after_commit", skip=2),
    ],
    [
        Fault(POSTGRES, "kill", 20),
        Fault("goals", "freeze", 5),
        Fault("metrics", "kill", 25),
        Fault("budget", "restart", 30),
        Fault(POSTGRES, "backend", 60),
    ],
    [
        Fault("gateway", "kill", 0, "write.before_answer"),
        Fault("goals", "kill", 0, "write.after_commit", skip=2),
        Fault("assets", "kill", 15),
        Fault("budget", "kill", 10),
        Fault("metrics", "kill", 5, "inbox.after_commit"),
    ],
]


def ours(rounds: list[list[Fault]]) -> list[list[Fault]]:
    """Without deaths of a server that somebody else runs."""
    if cluster.external() is None:
        return rounds
    return [[fault for fault in faults if fault.part != POSTGRES] for faults in rounds]


def test_nothing_acknowledged_is_lost_or_doubled_whatever_dies() -> None:
    rounds = ours(ROUNDS)
    outcome = attempt(rounds, print, seed=1)
    assert outcome.verdict.sound, outcome.verdict
    assert sum(outcome.chaos.struck.values()) == sum(map(len, rounds))
    assert outcome.chaos.not_passed == 0
    assert len(outcome.load.known.events) > 200
    assert outcome.load.known.writes > 50


@pytest.mark.parametrize("name", ["events-by-chance"])
def test_a_seeded_bug_turns_the_run_red(name: str) -> None:
    assert not attempt(rounds_for(BUGS[name])[:1], print, seed=1, bug=name).verdict.sound
