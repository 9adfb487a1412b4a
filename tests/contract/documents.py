"""Decides whether a request and an answer are what a contract says."""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import jsonschema_rs

from tests.contract.operations import Operation, operations

PROBLEM = "application/problem+json"
# What only a library's or the database's own words hold.
INSIDE = re.compile(
    r"Traceback \(|\w\.py\b|site-packages|asyncpg|sqlalchemy|pydantic|object at 0x|<class |SQLSTATE|\bviolates\b"
    r"|\b(?:relation|constraint|column) \\*\"|\b(?:SELECT|INSERT INTO|UPDATE|DELETE FROM) \w+",
    re.IGNORECASE,
)


def tells_of_inside(text: str) -> bool:
    """Whether a refusal quotes what callers have no business with: code, libraries, SQL."""
    return INSIDE.search(text) is not None


@cache
def _validator(part: str, schema: str) -> Any:
    whole = {**json.loads(schema), "components": {"schemas": operations(part)[0].schemas}}
    return jsonschema_rs.validator_for(whole, validate_formats=True)


def faults(operation: Operation, schema: Mapping[str, Any], value: Any) -> list[str]:
    """In what a value isn't as a schema of the operation's document says."""
    validator = _validator(operation.part, json.dumps(schema))
    return [
        f"{'/'.join(map(str, error.instance_path))}: {error.message}"[:300] for error in validator.iter_errors(value)
    ]


def wrong_answer(operation: Operation, status: int, media: str, content: bytes) -> str | None:
    """What about an answer the contract doesn't say; None if all is said."""
    if status >= 500 and status != 503:
        return f"{status}: {content[:500]!r}"
    media = media.partition(";")[0]
    if status >= 400:
        if media != PROBLEM:
            return f"{status} as {media or 'nothing'}: {content[:300]!r}"
        if tells_of_inside(content.decode(errors="replace")):
            return f"{status} tells of the inside: {content[:500]!r}"
        found = faults(operation, {"$ref": "#/components/schemas/Problem"}, json.loads(content))
        return f"{status}: {found}" if found else None
    said = operation.said["responses"].get(str(status))
    if said is None:
        return f"{status} isn't documented"
    content_types = said.get("content", {})
    if not content_types or "*/*" in content_types:
        return None
    if media not in content_types:
        return f"{status} as {media}, documented as {', '.join(content_types)}"
    if media == "application/json" and "schema" in content_types[media]:
        found = faults(operation, content_types[media]["schema"], json.loads(content))
        return f"{status}: {found}" if found else None
    return None


def wrong_request(operation: Operation, query: list[tuple[str, str]], body: Any) -> list[str]:
    """What about a request the contract doesn't take: parameters that it doesn't know, values that it refuses."""
    known = {each["name"]: each for each in operation.parameters if each["in"] == "query"}
    found = [f"takes no {name}" for name, _ in query if name not in known]
    for name, each in known.items():
        values = [value for key, value in query if key == name]
        if each.get("required") and not values:
            found.append(f"needs {name}")
        schema = operation.resolved(each["schema"])
        many = schema.get("type") == "array"
        for value in [values] if many and values else values:
            typed: Any = int(value) if schema.get("type") == "integer" else value  # type: ignore[arg-type]
            found += faults(operation, schema, typed)
    if operation.media and "json" in operation.media:
        found += faults(operation, operation.said["requestBody"]["content"][operation.media]["schema"], body)
    return found
