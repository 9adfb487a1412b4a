"""Decides what `make bench-faults` runs, and when it is red; `python -m bench.faults --help` tells of shorter forms."""

import argparse
import json
import signal
import sys

from bench.faults import run
from bench.faults.bugs import BUGS
from bench.faults.chaos import DEATHS, POSTGRES, plan
from bench.faults.launch import HEALTHY_AFTER, LEASE
from chassis.stack import parts


def say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    everything = [*parts(), POSTGRES]
    arguments = argparse.ArgumentParser(prog="python -m bench.faults")
    arguments.add_argument("--kills", type=int, default=200, metavar="N", help="of each process (200)")
    arguments.add_argument("--postgres", type=int, metavar="N", help="of Postgres (a quarter of that)")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--workers", type=int, default=run.WORKERS)
    arguments.add_argument("--replicas", type=int, choices=(1, 2), default=1, help="of each process (1)")
    arguments.add_argument("--check-every", type=int, default=run.CHECK_EVERY, metavar="ROUNDS")
    arguments.add_argument("--only", nargs="+", choices=everything, default=everything, metavar="PROCESS")
    arguments.add_argument("--bug", choices=[*BUGS, "all"], help="seed a bug; fails unless the run goes red")
    arguments.add_argument("--no-bugs", action="store_true", help="leave out the seeded bugs, which follow the run")
    given = arguments.parse_args()
    # Like Ctrl-C: the stack is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if given.bug:
        names = list(BUGS) if given.bug == "all" else [given.bug]
        return report({"seeded_bugs_found": hunt(names, given.seed)}, {"seeded_bugs_found": 1.0})
    say(f"a process that lived {HEALTHY_AFTER} s is started again at once; what a dead one had taken waits {LEASE}")
    postgres = given.kills // 4 if given.postgres is None else given.postgres
    rounds = plan(given.seed, given.kills, postgres, given.only, given.replicas)
    outcome = run.attempt(
        rounds, say, seed=given.seed, check_every=given.check_every, workers=given.workers, replicas=given.replicas
    )
    say(f"deaths at named points: {dict(sorted(outcome.chaos.at_points.items()))};"
        f" not passed in time, killed elsewhere: {outcome.chaos.not_passed}")  # fmt: skip
    say(f"answers: {dict(sorted(outcome.load.known.answers.items()))}")
    acknowledged = outcome.load.known.writes + len(outcome.load.known.events)
    planned = sum(fault.kind in DEATHS for faults in rounds for fault in faults)
    done = sum(count for part, count in outcome.chaos.struck.items() if part in everything)
    say(f"{done} deaths, {acknowledged} acknowledged writes and events in {outcome.seconds:.0f} s:"
        f" {done / outcome.seconds * 60:.0f} deaths a minute")  # fmt: skip
    ratios = {
        "lost": len(outcome.verdict.lost) / acknowledged,
        "doubled": len(outcome.verdict.doubled) / acknowledged,
        "wrong": len(outcome.verdict.wrong) / acknowledged,
        "deaths_of_planned": done / planned,
    }
    bars = {"lost": 0.0, "doubled": 0.0, "wrong": 0.0, "deaths_of_planned": 1.0}
    if not given.no_bugs:
        ratios["seeded_bugs_found"], bars["seeded_bugs_found"] = hunt(list(BUGS), given.seed), 1.0
    return report(ratios, bars)


def hunt(names: list[str], seed: int) -> float:
    """The share of seeded bugs at which the run goes red."""
    found = 0
    for name in names:
        say(f"seeded bug {name}: {BUGS[name].words}")
        red = not run.attempt(run.rounds_for(BUGS[name]), say, seed=seed, bug=name).verdict.sound
        say(f"  {'red, as it should be' if red else 'NOT FOUND'}")
        found += red
    return found / len(names)


def report(ratios: dict[str, float], bars: dict[str, float]) -> int:
    print(json.dumps({"bench": "faults", "ratios": ratios, "bars": bars}))
    return 0 if ratios == bars else 1


if __name__ == "__main__":
    sys.exit(main())
