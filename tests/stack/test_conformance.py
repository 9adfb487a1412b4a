"""No request that a contract allows, and none that it doesn't, breaks a part, and every answer is as the contract says:
generated from the OpenAPI files and the graph."""

from collections.abc import Iterator

import pytest

from chassis.stack import parts
from tests.contract.tally import Tally, lines
from tests.stack.conftest import database_of_its_own, started_over
from tests.stack.target import Target, filled

CASES = 200
# A short run is a small sample: the bar of 30 % is the long run's, in bench/conformance.py. Where two
# in five are granted, all of five cases are refused in one operation of a dozen.
LEAST = 0.1
ENOUGH = 6


@pytest.fixture(scope="module")
def target(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    home = tmp_path_factory.mktemp("stack") / "home"
    with (
        database_of_its_own(home, postgres) as database,
        started_over(home, database) as running,
        filled(running, database["DATABASE_URL"]) as made,
    ):
        yield made


def held(tally: Tally) -> None:
    assert tally.broken == [], "\n".join(tally.broken[:5])
    # A suite that is refused at the door proves nothing.
    low = {name for name, share in tally.shares.items() if share < LEAST and tally.asked[name] >= ENOUGH}
    assert low == set(), "\n".join(lines(tally))
    assert sum(tally.granted.values()) >= 0.3 * sum(tally.asked.values()), "\n".join(lines(tally))


@pytest.mark.parametrize("part", [part for part in parts() if part != "gateway"])
def test_nothing_generated_from_its_contract_breaks_a_service(target: Target, part: str) -> None:
    asked = target.service(part)
    target.renew()
    held(asked.go(CASES))


def test_nothing_generated_from_its_schema_breaks_the_graph(target: Target) -> None:
    asked = target.graph()
    target.renew()
    held(asked.go(CASES))
