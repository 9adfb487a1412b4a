"""What was approved is reserved, once, whenever the service dies: the short form of `make bench-approvals-killed`."""

from bench.approvals_killed import run
from tests.stack.conftest import free_ports


def test_what_is_acknowledged_is_reserved_once_though_the_service_is_killed() -> None:
    assert run(count=150, approvers=16, kills=2, port=free_ports(1)) == []


def test_a_key_that_says_nothing_turns_the_run_red() -> None:
    assert run(count=40, approvers=16, kills=1, port=free_ports(1), bug="double")
