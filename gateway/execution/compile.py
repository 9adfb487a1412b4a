"""Decides what plan an operation becomes: a step for each of its fields, and the structs that they work on."""

from collections.abc import Callable
from typing import Any

import msgspec
from graphql import (
    FieldNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLType,
    OperationType,
    get_argument_values,
)
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField

from gateway.derive.fields import ResolvedField
from gateway.derive.sources import Arguments
from gateway.execution.plan import AsItIs, Each, Field, Objects, OfRow, OnRow, Plan, Read, Renamed, Step, TypeName
from gateway.execution.selection import NotPlanned, Selections, variables_in
from gateway.execution.structs import Row, enum_names


class Compiler:
    """Makes one plan."""

    def __init__(self, schema: GraphQLSchema, selections: Selections) -> None:
        self._selections = selections
        self._is_told = selections.operation.operation is OperationType.SUBSCRIPTION
        self._root = schema.subscription_type if self._is_told else schema.query_type
        self._strawberry: Any = schema._strawberry_schema  # type: ignore[attr-defined]
        # What can only be made once all that is looked at is known.
        self._afterwards: list[Callable[[], None]] = []

    def plan(self) -> Plan:
        """Raises NotPlanned."""
        assert self._root is not None  # noqa: S101  # every graph has questions
        row = Row()
        root, _ = self._objects(self._root, [self._selections.operation.selection_set], row)
        for each in self._afterwards:
            each()
        return Plan(root, row.struct() if self._is_told else None)

    def _objects(self, kind: GraphQLObjectType, sets: list[Any], row: Row) -> tuple[Objects, bool]:
        """The step of a selection of one type, and whether anything is read in it."""
        objects = Objects()
        asked = self._selections.fields(kind, sets)
        objects.fields = [self._field(kind, name, nodes, row) for name, nodes in asked.items()]

        def finish() -> None:
            if not _is_row(objects.fields, row):
                # Answers' names may be anything, `from` and `__typename` too; attributes are numbered.
                spelled = {f"f{place}": each.name for place, each in enumerate(objects.fields)}
                fields: list[Any] = [(name, Any) for name in spelled]
                objects.made = msgspec.defstruct(kind.name, fields, rename=spelled, eq=False, gc=False)

        # Inner ones come first: an outer row is only the answer when they are.
        self._afterwards.append(finish)
        return objects, any(each.reads for each in objects.fields)

    def _field(self, owner: GraphQLObjectType, name: str, nodes: list[FieldNode], row: Row) -> Field:
        called = nodes[0].name.value
        if called == "__typename":
            return TypeName(name, owner.name)
        field = owner.fields.get(called)
        definition = field and field.extensions.get("strawberry-definition")
        if field is None or not isinstance(definition, StrawberryField):
            raise NotPlanned(called)
        if not isinstance(definition, ResolvedField):
            within = row.take(definition.python_name, field.type)
            step, reads = self._step(field.type, nodes, within)
            return OnRow(name, definition.python_name, step, reads)
        if definition.source is None:
            if definition.of is None:
                raise NotPlanned(called)
            step, reads = self._step(field.type, nodes, row)
            return OfRow(name, definition.of, step, reads)
        for path in definition.source.needs:
            _need(row, owner, path)
        return self._read(name, nodes, field, definition)

    def _read(self, name: str, nodes: list[FieldNode], field: GraphQLField, definition: ResolvedField) -> Read:
        source = definition.source
        assert source is not None  # noqa: S101  # it is read
        found = Row()
        step, _ = self._step(field.type, nodes, found)
        for extra, annotation in source.extra.items():
            found.take_plain(extra, annotation)
        read = Read(
            name, nodes, source, _arguments(self._strawberry, field, nodes[0], definition), step, msgspec.json.decode
        )

        def finish() -> None:
            read.decode = msgspec.json.Decoder(source.envelope(found.struct())).decode

        self._afterwards.append(finish)
        return read

    def _step(self, kind: GraphQLType, nodes: list[FieldNode], row: Row) -> tuple[Step, bool]:
        if isinstance(kind, GraphQLNonNull):
            return self._step(kind.of_type, nodes, row)
        if isinstance(kind, GraphQLList):
            step, reads = self._step(kind.of_type, nodes, row)
            return (step if isinstance(step, AsItIs) else Each(step)), reads
        if isinstance(kind, GraphQLObjectType):
            return self._objects(kind, [node.selection_set for node in nodes if node.selection_set], row)
        if isinstance(kind, GraphQLEnumType):
            names = enum_names(kind)
            return (AsItIs() if all(map(str.__eq__, names, names.values())) else Renamed({**names, None: None})), False
        return AsItIs(), False


def _is_row(fields: list[Field], row: Row) -> bool:
    """Whether rows as they are decoded are the answer: the same fields, in the same order, under the same names."""
    if not fields or [each.name for each in fields] != list(row.fields):
        return False
    return all(isinstance(each, OnRow) and each.attribute == each.name and _is_same(each.step) for each in fields)


def _is_same(step: Step) -> bool:
    if isinstance(step, Each):
        return _is_same(step.step)
    return isinstance(step, AsItIs) or (isinstance(step, Objects) and step.made is None)


def _need(row: Row, owner: GraphQLObjectType, path: str) -> None:
    """Looks at what a source needs of its row."""
    name, _, rest = path.partition(".")
    for field in owner.fields.values():
        definition = field.extensions.get("strawberry-definition")
        if isinstance(definition, StrawberryField) and definition.python_name == name:
            within = row.take(name, field.type)
            kind = field.type.of_type if isinstance(field.type, GraphQLNonNull) else field.type
            if rest and isinstance(kind, GraphQLObjectType):  # of JSON all is looked at
                _need(within, kind, rest)
            return
    raise NotPlanned(path)


def _arguments(
    strawberry: Any, field: GraphQLField, node: FieldNode, definition: ResolvedField
) -> Callable[[Any], Arguments]:
    """How a field's arguments are found, given an operation's variables: once and for all when they have none."""

    def arguments(variables: Any) -> Arguments:
        given = get_argument_values(field, node, variables)
        return convert_arguments(
            given, definition.arguments, scalar_registry=strawberry.schema_converter.scalar_registry,
            config=strawberry.config,
        )  # fmt: skip

    if any(variables_in(each) for each in node.arguments or ()):
        return arguments
    always = arguments(None)
    return lambda _: always
