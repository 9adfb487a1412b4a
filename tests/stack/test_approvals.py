"""What was approved is reserved, once, whenever the service dies: the short form of `make bench-approvals-killed`."""

from bench.approvals_killed import run
from tests.stack.conftest import free_ports


def test_what_is_acknowledged_is_reserved_once_though_the_service_is_killed() -> None:
    assert run(count=120, approvers=16, kills=2, port=free_ports(1), durable=False) == []
