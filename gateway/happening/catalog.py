"""Decides which events there are: all that the parts' own contract of events names."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from gateway.happening.models import HappeningTypeRead
from gateway.happening.rules import part_of

CONTRACT = Path(__file__).parent.parent.parent / "openapi" / "asyncapi" / "events.json"


@cache
def happening_types() -> dict[str, HappeningTypeRead]:
    """Every type of event by its name, in the order of names."""
    components = json.loads(CONTRACT.read_text())["components"]
    found = {}
    for message in sorted(components["messages"].values(), key=lambda each: str(each["name"])):
        kind: str = message["name"]
        schema: dict[str, Any] = components["schemas"][kind]["properties"]["data"]
        found[kind] = HappeningTypeRead.model_construct(
            type=kind, part=part_of(kind), description=message["summary"], data_schema=schema
        )
    return found
