"""Decides what a derived field is to strawberry: a type, arguments, and a function of (row, context, arguments)."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from strawberry.annotation import StrawberryAnnotation
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.base import StrawberryObjectDefinition, StrawberryOptional
from strawberry.types.field import StrawberryField
from strawberry.types.info import Info
from strawberry.types.unset import UNSET

from gateway.derive.sources import Source, resolve

Resolve = Callable[[Any, Any, dict[str, Any]], Any]


class ResolvedField(StrawberryField):
    """A field that is more than a value of its row. Strawberry wants a function's signature for that; here the
    arguments are data. `of` is the function of the row where that is all; `source` says how it is found elsewhere."""

    resolve: Resolve
    of: Callable[[Any], Any] | None = None
    source: Source | None = None

    @property
    def is_basic_field(self) -> bool:
        return False

    def get_result(self, source: Any, info: Info[Any, Any] | None, args: list[Any], kwargs: Any) -> Any:
        assert info is not None  # noqa: S101  # strawberry leaves it out for basic fields only
        return self.resolve(source, info.context, kwargs)


def optional(kind: Any) -> Any:
    return StrawberryOptional(kind)


def plain(rest_name: str, name: str, kind: Any, description: str | None = None) -> StrawberryField:
    """A field that is read from the row under its REST name, or sent under it; one that isn't sent stays unset."""
    return StrawberryField(
        python_name=rest_name, graphql_name=name, type_annotation=StrawberryAnnotation(kind), description=description,
        default=UNSET,
    )  # fmt: skip


def resolved(
    name: str, kind: Any, resolve: Resolve, arguments: list[StrawberryArgument] | None = None,
    description: str | None = None,
) -> ResolvedField:  # fmt: skip
    field = ResolvedField(
        python_name=name, graphql_name=name, type_annotation=StrawberryAnnotation(kind), description=description
    )
    field.resolve = resolve
    field.arguments = arguments or []
    return field


def computed(name: str, kind: Any, of: Callable[[Any], Any], description: str | None = None) -> StrawberryField:
    """A field that follows from its row alone."""
    field = resolved(name, kind, lambda row, _, __: of(row), description=description)
    field.of = of
    return field


def found(
    name: str, kind: Any, source: Source, arguments: list[StrawberryArgument], description: str | None
) -> StrawberryField:
    """A field that is read from a service."""
    field = resolved(name, kind, partial(resolve, source), arguments, description)
    field.source = source
    return field


def argument(
    rest_name: str, name: str, kind: Any, description: str | None = None, default: object = UNSET
) -> StrawberryArgument:
    return StrawberryArgument(
        python_name=rest_name, graphql_name=name, type_annotation=StrawberryAnnotation(kind),
        description=description, default=default,
    )  # fmt: skip


def new_type(name: str, description: str | None = None, *, is_input: bool = False) -> Any:
    """A strawberry type without fields yet, so that types may refer to each other. As an input it becomes a dict of
    what was sent and nothing else: in a merge patch, what is absent isn't null."""
    kind = type(name, (dict,), {})
    definition = StrawberryObjectDefinition(
        name=name, is_input=is_input, is_interface=False, origin=kind, description=description, interfaces=[],
        extend=False, directives=(), is_type_of=None, resolve_type=None, fields=[],
    )  # fmt: skip
    kind.__strawberry_definition__ = definition  # type: ignore[attr-defined]
    return kind


def fields_of(kind: Any) -> list[StrawberryField]:
    fields: list[StrawberryField] = kind.__strawberry_definition__.fields
    return fields


def field_names(kind: Any) -> Mapping[str, StrawberryField]:
    return {field.graphql_name or field.python_name: field for field in fields_of(kind)}
