"""Decides what of a service's rows is decoded: the values that somebody looks at, in the types that are promised."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from graphql import GraphQLEnumType, GraphQLList, GraphQLNamedType, GraphQLNonNull, GraphQLObjectType, GraphQLType

BIG = 2**31
# What a scalar must be on its way in, to go out as it is. Anything else is looked at by graphql-core.
SCALARS: dict[str, Any] = {
    "String": str,
    "ID": str,
    "Int": Annotated[int, msgspec.Meta(ge=-BIG, lt=BIG)],
    "Float": float,
    "Boolean": bool,
    "Date": str,
    "DateTime": str,
    "Decimal": str,
    "BigInt": int,
    "JSON": bool | int | float | str | list[Any] | dict[str, Any],
}


class Row:
    """What is looked at of the rows of one place; grows while a plan is made."""

    def __init__(self) -> None:
        self.fields: dict[str, Callable[[], Any]] = {}
        self._within: dict[str, Row] = {}
        self._made: type[msgspec.Struct] | None = None

    def take(self, name: str, kind: GraphQLType) -> "Row":
        """Looks at a field, and answers what is looked at inside it."""
        within = self._within.setdefault(name, Row())
        self.fields[name] = lambda: _annotation(kind, within)
        return within

    def take_plain(self, name: str, annotation: Any) -> None:
        """Looks at a field that nobody has selected, to find rows by it and the like."""
        if annotation is Any:
            # It may be there or not, whatever the graph promises of a field of that name.
            self.fields[name] = lambda: Any | None
        else:
            self.fields.setdefault(name, lambda: annotation)

    def struct(self) -> type[msgspec.Struct]:
        """The type of such a row, once all that is looked at is known. What may be null may be left out."""
        if self._made is None:
            annotated = ((name, annotate()) for name, annotate in self.fields.items())
            fields = [(name, kind, None) if _nullable(kind) else (name, kind) for name, kind in annotated]
            self._made = msgspec.defstruct("Row", fields, kw_only=True, eq=False, gc=False)
        return self._made


def _nullable(kind: Any) -> bool:
    return type(None) in getattr(kind, "__args__", ())


def _annotation(kind: GraphQLType, within: Row) -> Any:
    if isinstance(kind, GraphQLNonNull):
        return _bare(kind.of_type, within)
    return _bare(kind, within) | None


def _bare(kind: GraphQLType, within: Row) -> Any:
    if isinstance(kind, GraphQLList):
        return list[_annotation(kind.of_type, within)]  # type: ignore[misc]
    if isinstance(kind, GraphQLObjectType):
        return within.struct()
    if isinstance(kind, GraphQLEnumType):
        return Literal[tuple(enum_names(kind))]
    assert isinstance(kind, GraphQLNamedType)  # noqa: S101  # a scalar
    return SCALARS[kind.name]


def enum_names(kind: GraphQLEnumType) -> dict[str, str]:
    """What services call each value, and what the graph does."""
    return {str(value.value): name for name, value in kind.values.items()}
