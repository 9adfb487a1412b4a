"""Decides what there is to ask of the graph: every field that takes an id, and every verb, with all that it answers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_leaf_type,
    is_required_argument,
)

from gateway.derive.names import camel, enum_name
from tests.contract.operations import ABSENT, Ask, singular

DEPTH = 2
# Ids that one document tries in a field that takes one.
ALIASES = 25
# What fields need that isn't an id, by the argument's name; an enumeration gives its first value.
UNKNOWN = f'"{ABSENT}"'
NEEDED = {"metric": '"email.ctr"', "key": '"email.ctr"', "from": '"2026-01-01"', "to": '"2026-07-01"'}


@dataclass(frozen=True)
class Place:
    """An argument that ids or texts can stand in, and the document that asks with it as `$tried`."""

    name: str
    argument: str
    resource: str
    many: bool
    is_id: bool
    document: str

    def variables(self, tried: list[str]) -> dict[str, Any]:
        """One by one in as many fields as the document has, where each takes but one."""
        if self.many:
            return {"tried": tried}
        return {f"tried{number}": tried[number % len(tried)] for number in range(ALIASES)}

    def __str__(self) -> str:
        return f"{self.name}({self.argument}:)"


def selection(kind: Any, depth: int = DEPTH) -> str:
    """All that a type answers, some levels deep."""
    named = get_named_type(kind)
    if is_leaf_type(named):
        return ""
    assert isinstance(named, GraphQLObjectType), named
    chosen = []
    for name, field in named.fields.items():
        inner = get_named_type(field.type)
        # A connection's page is one level, however Relay spells it.
        down = depth if name in ("edges", "node", "nodes", "pageInfo") else depth - 1
        if name == "edges" or (not is_leaf_type(inner) and down < 0):
            continue
        chosen.append(f"{name}{needed(field)} {selection(inner, down)}".strip())
    return "{ " + " ".join(chosen or ["__typename"]) + " }"


def needed(field: GraphQLField, **given: str) -> str:
    """The arguments that a field can't be asked without, and those given."""
    found = dict(given)
    for name, each in field.args.items():
        if is_required_argument(each) and name not in found:
            named = get_named_type(each.type)
            found[name] = next(iter(named.values)) if isinstance(named, GraphQLEnumType) else NEEDED.get(name, UNKNOWN)
        if name == "first" and name not in found:
            found[name] = "5"
    return f"({', '.join(f'{name}: {value}' for name, value in found.items())})" if found else ""


def plain_queries(schema: GraphQLSchema) -> Iterator[str]:
    """Each list at the root, whole."""
    assert schema.query_type
    for name, field in schema.query_type.fields.items():
        if "first" in field.args:
            yield f"{{ {name}{needed(field)} {selection(field.type)} }}"


def places(schema: GraphQLSchema) -> Iterator[Place]:
    """Every argument of a question that takes ids or texts, at the root and on rows of the asker's own."""
    assert schema.query_type
    for name, field in schema.query_type.fields.items():
        for argument, document in _asking(name, field):
            yield _place(name, name, field, argument, document)
        node = _node(field)
        for inner, own in node.fields.items() if node and "first" in field.args else ():
            for argument, document in _asking(inner, own):
                head, _, rest = document.partition("{")
                yield _place(
                    f"{name}.{inner}", name, own, argument, f"{head}{{ {name}(first: 5) {{ nodes {{ {rest} }} }}"
                )


def _node(field: GraphQLField) -> GraphQLObjectType | None:
    named = get_named_type(field.type)
    inner = named.fields.get("nodes") if isinstance(named, GraphQLObjectType) else None
    found = get_named_type(inner.type) if inner else None
    return found if isinstance(found, GraphQLObjectType) else None


def _asking(name: str, field: GraphQLField) -> Iterator[tuple[str, str]]:
    for argument, each in field.args.items():
        if get_named_type(each.type).name in ("ID", "String") and argument not in ("after", *NEEDED):
            chosen = selection(field.type, 1)
            if _takes_many(each.type):
                asked = f"{name}{needed(field, **{argument: '$tried'})} {chosen}"
                yield argument, f"query ($tried: {each.type}) {{ {asked} }}"
            else:
                head = ", ".join(f"$tried{number}: {each.type}" for number in range(ALIASES))
                asked = " ".join(
                    f"a{number}: {name}{needed(field, **{argument: f'$tried{number}'})} {{ __typename }}"
                    for number in range(ALIASES)
                )
                yield argument, f"query ({head}) {{ {asked} }}"


def _place(name: str, root: str, field: GraphQLField, argument: str, document: str) -> Place:
    kind = field.args[argument].type
    is_id = get_named_type(kind).name == "ID"
    return Place(name, argument, singular(root), _takes_many(kind), is_id, document)


def _takes_many(kind: Any) -> bool:
    return isinstance(kind.of_type if isinstance(kind, GraphQLNonNull) else kind, GraphQLList)


def verb(schema: GraphQLSchema, asked: Ask) -> tuple[str, dict[str, Any]] | None:
    """The mutation that says what a REST request says, with its variables; None if the graph has no such verb."""
    name = camel(asked.operation.id)
    fields = schema.mutation_type.fields if schema.mutation_type else {}
    if name not in fields:
        return None
    field = fields[name]
    given: dict[str, Any] = {camel(each): value for each, value in asked.path.items()}
    given |= {camel(each): value for each, value in asked.query.items()}
    given |= {camel(each): value for each, value in asked.headers.items()}
    if "input" in field.args and asked.body is not None:
        given["input"] = sent(asked.body, field.args["input"].type)
    given = {each: value for each, value in given.items() if each in field.args}
    head = ", ".join(f"${each}: {field.args[each].type}" for each in given)
    passed = ", ".join(f"{each}: ${each}" for each in given)
    call = f"{name}({passed})" if given else name
    return f"mutation {f'({head})' if head else ''} {{ {call} {selection(field.type)} }}", given


def sent(value: Any, kind: Any) -> Any:
    """A REST body as the graph spells it."""
    if isinstance(kind, GraphQLNonNull):
        return sent(value, kind.of_type)
    if value is None:
        return None
    if isinstance(kind, GraphQLList):
        return [sent(each, kind.of_type) for each in value]
    if isinstance(kind, GraphQLEnumType):
        return enum_name(str(value))
    if isinstance(kind, GraphQLInputObjectType) and isinstance(value, Mapping):
        return {camel(name): sent(each, kind.fields[camel(name)].type) for name, each in value.items()}
    return value
