"""What was approved is reserved, once, whenever the service dies: the short form of `make bench-approvals-killed`."""

from bench.approvals_killed import run
from chassis.testing import Clock
from services.budget.app import app
from tests.stack.conftest import free_ports


def test_what_is_acknowledged_is_reserved_once_though_the_service_is_killed() -> None:
    # As tests before it leave the process that the service is forked off: months ago, when other rates held. Not by
    # monkeypatch, which takes away what stands in no __dict__.
    before, app.state.clock = app.state.clock, Clock()
    try:
        assert run(count=120, approvers=16, kills=2, port=free_ports(1), durable=False) == []
    finally:
        app.state.clock = before
