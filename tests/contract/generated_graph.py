"""Decides which documents are generated to break the graph, and how some of them come to be granted."""

import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import httpx
import schemathesis
from graphql import (
    REMOVE,
    ArgumentNode,
    FieldNode,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    NameNode,
    ObjectValueNode,
    SelectionSetNode,
    StringValueNode,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    build_schema,
    get_named_type,
    parse,
    print_ast,
    visit,
)
from hypothesis import given, seed
from hypothesis import strategies as st

from gateway.derive.names import camel
from tests.contract.documents import tells_of_inside
from tests.contract.filled import Filled
from tests.contract.generated import Service
from tests.contract.graphs import verb
from tests.contract.operations import Operation, operations
from tests.contract.tally import GRANTABLE, SEED, Tally, generating, has_nul, share
from tests.contract.values import BY_ANOTHER, TOGETHER

# What answers where nobody foresaw a failure, or a part was away.
UNFORESEEN = {None, "INTERNAL", "UPSTREAM_UNAVAILABLE"}
# What stands in questions whatever was generated.
KNOWN: Mapping[str, Any] = {
    "first": 3, "from": "2026-01-01", "to": "2026-03-01", "metric": "email.ctr", "key": "email.ctr",
    "currency": ["USD"], "into": "EUR", "day": "2026-06-15",
}  # fmt: skip
# Filters that the house asks more of than the schema says: a form, a length, a range.
LOOSE = {"String", "Int"}
# In so many verbs one field is as it was generated: the schema says less than the house asks, so most are refused.
MIXED = 0.25
# Under this name each verb tells why it changed nothing.
TOLD = "told"
_TELLS = parse(f"{{ {TOLD}: errors {{ code field message }} }}").definitions[0].selection_set.selections  # type: ignore[attr-defined]


def fields(schema: GraphQLSchema) -> list[str]:
    """What can be asked and done, as `Query.campaigns`."""
    roots = (each for each in (schema.query_type, schema.mutation_type) if each is not None)
    return [f"{root.name}.{name}" for root in roots for name in root.fields]


@dataclass
class Graph:
    """The graph under generated documents."""

    workspace: Filled
    http: httpx.Client
    another: httpx.Client
    sdl: str
    # Whose rows the verbs are done to.
    services: Mapping[str, Service]
    tally: Tally = field(default_factory=Tally)
    schema: GraphQLSchema = field(init=False)
    _fields: dict[str, Any] = field(init=False)
    _verbs: dict[str, Operation] = field(init=False)

    def __post_init__(self) -> None:
        self.schema = build_schema(self.sdl)
        # From the second of each kind on: verbs may end what services go on with.
        rows = {kind: found[1:] or found for kind, found in self.workspace.rows.items()}
        self.workspace = replace(self.workspace, rows=rows)
        _scalars()
        document = schemathesis.graphql.from_file(self.sdl)
        every: list[Any] = [each.ok() for each in document.get_all_operations()]  # type: ignore[union-attr]
        self._fields = {each.label: each for each in every}
        self._verbs = {camel(each.id): each for each in operations() if each.method != "GET"}

    @property
    def names(self) -> list[str]:
        return fields(self.schema)

    def go(self, cases: int) -> Tally:
        """So many cases, spread over the fields at the root."""
        for name in self.names:
            self.cases_of(name, share(cases, len(self.names)))
        return self.tally

    def cases_of(self, name: str, count: int) -> None:
        """So many cases of one field."""
        operation = self._fields[name]
        # Not hypothesis' own: that one prefers what is at the edge, so that a tenth is nearly always.
        rng = random.Random(f"{SEED} {name}")

        @seed(SEED)
        @generating(count)
        @given(case=operation.as_strategy())
        def one(case: Any) -> None:
            grantable = rng.random() < GRANTABLE / 10
            info = TypeInfo(self.schema)
            mend = _Mend(self, info, grantable, rng)
            query = print_ast(visit(parse(case.body), TypeInfoVisitor(info, mend)))
            verb = self.verb_of(name.partition(".")[2])
            http = self.another if verb and verb.id in BY_ANOTHER else self.http
            answer = http.post("/graphql", json={"query": query})
            granted = self._note(name, query, answer)
            for each, row in mend.rows:
                self.services[each.part].settled(each, row, 200 if granted else 409)

        one()

    def _note(self, name: str, query: str, answer: httpx.Response) -> bool:
        body = answer.json()
        failed = list(body.get("errors", ()))
        data = [each for each in (body.get("data") or {}).values() if isinstance(each, dict)]
        told = [each for found in data for each in found.get(TOLD, ())]
        codes = {each.get("extensions", {}).get("code") for each in failed} | {each["code"] for each in told}
        if answer.status_code >= 500 or codes & UNFORESEEN or tells_of_inside(json.dumps([failed, told])):
            self.tally.broken.append(f"{name}: {answer.status_code} {answer.text[:400]}\n  {query[:600]}")
        nul = has_nul("", answer.request.content)
        self.tally.note(name, granted=not codes, refusal=str((told or failed)[:1]), nul=nul)
        return not codes

    def id_for(self, argument: str, kind: Any, rng: random.Random) -> str:
        """An id that an argument of a field of that type may hold."""
        resource = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", get_named_type(kind).name.removesuffix("Connection")).lower()
        known = self.workspace.id_of(re.sub(r"(?=[A-Z])", "_", argument).lower(), resource)
        # The newest of each kind: older ones may be what the stack itself was set up with, its own clients.
        rows = [rows[0] for rows in self.workspace.rows.values() if rows and "id" in rows[0]]
        return known or str(rng.choice(rows)["id"])

    def verb_of(self, name: str) -> Operation | None:
        return self._verbs.get(name)

    def arguments(self, operation: Operation, node: FieldNode, rng: random.Random) -> tuple[dict[str, str], Any]:
        """What a verb is granted with, one of its fields as it was generated; and whose row it is done to."""
        asked = operation.ask(self.workspace, whole=rng.random() < 0.5 or operation.method == "PATCH")
        row = self.services[operation.part].row_for(operation)
        asked.path |= row
        found = verb(self.schema, asked)
        assert found is not None
        assert self.schema.mutation_type is not None
        field = self.schema.mutation_type.fields[camel(operation.id)]
        if operation.method == "PATCH" and "ifMatch" in field.args:
            found[1]["ifMatch"] = "*"
        made = {name: _literal(value, field.args[name].type) for name, value in found[1].items()}
        given = next((each.value for each in node.arguments or () if each.name.value == "input"), None)
        if isinstance(given, ObjectValueNode) and "input" in made and rng.random() < MIXED:
            kinds = get_named_type(field.args["input"].type).fields
            settled = {camel(each) for each in TOGETHER.get(operation.id, ())}
            settled |= {each for each in kinds if get_named_type(kinds[each].type).name == "ID"}
            made["input"] = _mixed(made["input"], given, settled, rng)
        if operation.method == "PATCH" and "input" in made:
            few = rng.sample(made["input"].fields, min(len(made["input"].fields), rng.randint(1, 2)))
            made["input"] = ObjectValueNode(fields=tuple(few))
        return row, tuple(ArgumentNode(name=NameNode(value=name), value=value) for name, value in made.items())


class _Mend(Visitor):
    """The same document, with ids that there are and pages of a sensible length. Either way each verb tells why it
    changed nothing."""

    def __init__(self, graph: Graph, info: TypeInfo, grantable: bool, rng: random.Random) -> None:
        super().__init__()
        self.graph, self.info, self.grantable, self.rng = graph, info, grantable, rng
        self.rows: list[tuple[Operation, str | None]] = []

    def enter_field(self, node: Any, *_: Any) -> Any:
        operation = self.graph.verb_of(node.name.value)
        if operation is None or self.info.get_parent_type() is not self.graph.schema.mutation_type:
            return None
        arguments = node.arguments
        if self.grantable:
            row, arguments = self.graph.arguments(operation, node, self.rng)
            self.rows.append((operation, next(iter(row.values()), None)))
        chosen = SelectionSetNode(selections=(*node.selection_set.selections, *_TELLS))
        return FieldNode(
            alias=node.alias, name=node.name, arguments=arguments, directives=node.directives, selection_set=chosen
        )

    def enter_argument(self, node: Any, *_: Any) -> Any:
        if not self.grantable or self.info.get_parent_type() is self.graph.schema.mutation_type:
            return None
        name = node.name.value
        if name == "after":
            return REMOVE
        wanted = self.info.get_input_type()
        if name in KNOWN and wanted is not None:
            told = f"{KNOWN[name]}T00:00:00Z" if get_named_type(wanted).name == "DateTime" else KNOWN[name]
            return ArgumentNode(name=node.name, value=_literal(told, wanted))
        kind = get_named_type(wanted).name if wanted is not None else ""
        if kind in LOOSE and not isinstance(wanted, GraphQLNonNull) and self.rng.random() < 0.8:
            return REMOVE
        if kind == "ID":
            found = StringValueNode(value=self.graph.id_for(name, self.info.get_type(), self.rng))
            return ArgumentNode(name=node.name, value=found)
        return None


def _mixed(ours: Any, generated: ObjectValueNode, settled: set[str], rng: random.Random) -> ObjectValueNode:
    fields = {each.name.value: each for each in ours.fields}
    if free := [each for each in generated.fields if each.name.value not in settled]:
        one = rng.choice(free)
        fields[one.name.value] = one
    return ObjectValueNode(fields=tuple(fields.values()))


def _literal(value: Any, kind: Any) -> Any:
    return parse(f"{{ f(a: {_written(value, kind)}) }}").definitions[0].selection_set.selections[0].arguments[0].value  # type: ignore[attr-defined]


def _written(value: Any, kind: Any) -> str:
    while isinstance(kind, GraphQLNonNull):
        kind = kind.of_type
    if value is None:
        return "null"
    if isinstance(kind, GraphQLEnumType):
        return str(value)
    if isinstance(kind, GraphQLList):
        return f"[{', '.join(_written(each, kind.of_type) for each in value)}]"
    if isinstance(kind, GraphQLInputObjectType):
        fields = (f"{name}: {_written(each, kind.fields[name].type)}" for name, each in value.items())
        return f"{{{', '.join(fields)}}}"
    return json.dumps(value)


def _scalars() -> None:
    from hypothesis_graphql import nodes

    days = st.dates(datetime(2025, 1, 1).date(), datetime(2027, 1, 1).date()).map(str)
    schemathesis.graphql.scalar("Date", days.map(nodes.String))
    moments = st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1)).map(lambda each: f"{each.isoformat()}Z")
    schemathesis.graphql.scalar("DateTime", moments.map(nodes.String))
    schemathesis.graphql.scalar("Decimal", st.decimals(0, 10_000, places=2).map(str).map(nodes.String))
    schemathesis.graphql.scalar("JSON", st.text(max_size=20).map(nodes.String))
