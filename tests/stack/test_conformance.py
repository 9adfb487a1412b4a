"""No request that a contract allows, and none that it doesn't, breaks a service: generated from the OpenAPI files."""

from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from chassis.stack import parts
from tests.stack.conftest import Running

GENERATED = settings(
    max_examples=8, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


def successes(operation: Any, mode: GenerationMode, headers: dict[str, str]) -> int:
    """How many generated requests an operation grants; fails when one breaks it."""
    granted = 0

    def never_breaks(case: Any) -> None:
        nonlocal granted
        answer = case.call(headers=headers, timeout=10)
        assert answer.status_code < 500, (answer.status_code, answer.text, case.as_curl_command())
        # What isn't even HTTP is refused by the server before any app sees it.
        if answer.status_code >= 400 and answer.text != "Invalid HTTP request received.":
            assert answer.headers["content-type"] == ["application/problem+json"], case.as_curl_command()
            assert answer.json()["code"]
        granted += answer.status_code < 300

    with suppress(Unsatisfiable):  # some operations take nothing that could be wrong
        GENERATED(given(case=operation.as_strategy(generation_mode=mode))(never_breaks))()
    return granted


@pytest.mark.parametrize("part", [part for part in parts() if part != "gateway"])
def test_nothing_generated_from_its_contract_breaks_a_service(running: Running, part: str) -> None:
    headers = dict(running.client(part, "demo-admin").headers)
    schema: Any = schemathesis.openapi.from_url(f"{running.url(part)}/openapi.json")
    granted = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        granted[operation.label] = sum(successes(operation, mode, headers) for mode in GenerationMode)
    # A suite that is refused at the door proves nothing.
    assert sum(1 for count in granted.values() if count) >= len(granted) / 3, granted
