"""Decides how values that GraphQL has no type for travel: as REST's own text, looked at when a caller sends it.

Nothing is parsed on the way out: a service has already made sure of its own answers.
"""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal as Number
from decimal import InvalidOperation
from typing import Any, NewType

import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

Date = NewType("Date", str)
DateTime = NewType("DateTime", str)
Decimal = NewType("Decimal", str)
BigInt = NewType("BigInt", int)
Json = NewType("Json", object)


def _date(value: Any) -> str:
    date.fromisoformat(value)
    return str(value)


def _datetime(value: Any) -> str:
    datetime.fromisoformat(value)
    return str(value)


def _decimal(value: Any) -> str:
    # A float has already lost what was written.
    if isinstance(value, bool | float) or not Number(value).is_finite():
        raise ValueError
    return str(value)


def _bigint(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError
    return int(value)


def _checked(check: Callable[[Any], Any], hint: str) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        try:
            return check(value)
        except (ValueError, TypeError, InvalidOperation):
            raise GraphQLError(hint) from None

    return parse


def _same(value: Any) -> Any:
    return value


def _scalar(name: str, description: str, parse: Callable[[Any], Any], url: str | None = None) -> ScalarDefinition:
    return strawberry.scalar(
        name=name, description=description, serialize=_same, parse_value=parse, specified_by_url=url
    )


SCALARS: dict[object, ScalarDefinition] = {
    Date: _scalar("Date", "A day, for example 2026-03-01.", _checked(_date, "a day is written like 2026-03-01")),
    DateTime: _scalar(
        "DateTime", "A moment in RFC 3339, in UTC when it is ours.",
        _checked(_datetime, "a moment is written like 2026-03-01T12:00:00Z"),
        "https://datatracker.ietf.org/doc/html/rfc3339",
    ),
    Decimal: _scalar(
        "Decimal", "An exact decimal number, written as text.", _checked(_decimal, 'a decimal is text, like "1234.50"')
    ),
    BigInt: _scalar("BigInt", "An integer of up to 64 bits.", _checked(_bigint, "not an integer")),
    Json: _scalar("JSON", "Any JSON value.", _same),
}  # fmt: skip

# By `format`, where `type` alone doesn't say it.
FORMATS: dict[str, Any] = {
    "uuid": strawberry.ID,
    "date": Date,
    "date-time": DateTime,
    "decimal": Decimal,
    "int64": BigInt,
}
KINDS: dict[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool, "object": Json, "null": Json}
