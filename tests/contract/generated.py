"""Decides which requests are generated to break a part, and how some of them come to be granted: what schemathesis
makes of a contract, with what the workspace really holds put in its place."""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

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
    IntValueNode,
    NameNode,
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
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from tests.conftest import APPS
from tests.contract.documents import wrong_answer
from tests.contract.filled import Filled, names_in, signed
from tests.contract.graphs import verb
from tests.contract.operations import Ask, Operation, operations
from tests.contract.values import BY_ANOTHER

SEED = 20260301
# Of ten cases so many are meant to be granted; what they hold is generated all the same.
GRANTABLE = 7


def _settings(cases: int) -> settings:
    return settings(
        max_examples=max(cases, 1), deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


@dataclass
class Tally:
    """How many cases of each operation there were, and were granted; and what broke."""

    asked: Counter[str] = field(default_factory=Counter)
    granted: Counter[str] = field(default_factory=Counter)
    refusals: dict[str, Counter[str]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def note(self, name: str, *, granted: bool, refusal: str = "") -> None:
        self.asked[name] += 1
        self.granted[name] += granted
        if not granted:
            self.refusals.setdefault(name, Counter())[refusal[:160]] += 1

    @property
    def shares(self) -> dict[str, float]:
        return {name: round(self.granted[name] / count, 3) for name, count in sorted(self.asked.items())}


@dataclass
class Service:
    """One service under generated requests. `run` is how its tests wait for what is asynchronous."""

    part: str
    workspace: Filled
    run: Callable[[Any], Any]
    http: httpx.Client
    another: httpx.Client
    service_token: str
    tally: Tally = field(default_factory=Tally)
    _ways: dict[str, list[Operation] | None] = field(default_factory=dict)

    def go(self, cases: int) -> Tally:
        """So many cases, spread over the operations."""
        found = operations(self.part)
        document = schemathesis.openapi.from_dict(APPS[self.part].openapi())
        every: list[Any] = [each.ok() for each in document.get_all_operations()]  # type: ignore[union-attr]
        generated = {each.definition.raw["operationId"]: each for each in every}
        each = max(cases // len(found), 4)
        for operation in found:
            good = each * GRANTABLE // 10
            for mode, count in ((GenerationMode.POSITIVE, good), (GenerationMode.NEGATIVE, each - good)):
                self._cases(operation, generated[operation.id].as_strategy(generation_mode=mode), mode, count)
        return self.tally

    def _cases(self, operation: Operation, strategy: Any, mode: GenerationMode, count: int) -> None:
        @seed(SEED)
        @_settings(count)
        @given(case=strategy, rng=st.randoms(use_true_random=False))
        def one(case: Any, rng: random.Random) -> None:
            if mode is GenerationMode.POSITIVE:
                self._settle(operation, self._send(self._grantable(operation, case, rng)), case)
                return
            if case.path_parameters and rng.random() < 0.7:
                case.path_parameters = {**case.path_parameters, **operation.ask(self.workspace).path}
            headers = {"Authorization": f"Bearer {self.service_token}"} if operation.id == "receive_events" else None
            answer = case.call(
                base_url=str(self.http.base_url).rstrip("/"), timeout=30, headers=headers or dict(self.http.headers)
            )
            media = (answer.headers.get("content-type") or [""])[0]
            self._note(operation, answer.status_code, media, answer.content, case)

        with suppress(Unsatisfiable):  # some operations take nothing that could be wrong
            one()

    def _settle(self, operation: Operation, answer: httpx.Response, case: Any) -> None:
        self._note(operation, answer.status_code, answer.headers.get("content-type", ""), answer.content, case)

    def _note(self, operation: Operation, status: int, media: str, content: bytes, case: Any) -> None:
        if content == b"Invalid HTTP request received.":
            return  # refused before any app sees it
        wrong = wrong_answer(operation, status, media, content)
        if wrong:
            self.tally.broken.append(f"{operation.id}: {wrong}\n  {case.as_curl_command()[:600]}")
        self.tally.note(operation.id, granted=status < 400, refusal=content.decode(errors="replace"))

    def _grantable(self, operation: Operation, case: Any, rng: random.Random) -> Ask:
        """A request that would be granted, with some of its parts as they were generated."""
        asked = operation.ask(self.workspace, whole=rng.random() < 0.5)
        if operation.id == "receive_events":
            asked.body = [self._event()]
        if "{id}" in operation.path and operation.method != "GET":
            asked.path |= self._row_for(operation)
        given = dict(case.query or {})
        for each in operation.parameters:
            name = each["name"]
            if each["in"] == "query" and name in given and ("query", name) not in asked.slots:
                often = 0.0 if name in ("cursor", "limit_per") else 0.2 if each.get("required") else 0.5
                if rng.random() < often:
                    asked.query[name] = given[name]
            if ("query", name) in asked.slots and rng.random() < 0.3:
                known = self.workspace.id_of(name, operation.resource) if name.endswith("id") else None
                asked.query |= {name: [known]} if known else {}
            if each["in"] == "header" and name.lower() == "if-match":
                asked.headers[name] = "*"
            elif each["in"] == "header" and name in (case.headers or {}) and rng.random() < 0.5:
                asked.headers[name] = case.headers[name]
        if isinstance(asked.body, dict) and isinstance(case.body, dict):
            names = [name for name in case.body if name in asked.body or rng.random() < 0.3]
            for name in rng.sample(names, min(len(names), rng.choice((0, 0, 1, 1, 2)))):
                asked.body[name] = case.body[name]
            if operation.method == "PATCH" and asked.body:
                kept = rng.sample(sorted(asked.body), min(len(asked.body), rng.randint(1, 2)))
                asked.body = {name: asked.body[name] for name in kept}
        elif isinstance(asked.body, list) and isinstance(case.body, list):
            asked.body += case.body[: rng.choice((0, 0, 1))]
        return asked

    def _event(self) -> dict[str, Any]:
        data = {"name": "Generated", "zone": "Europe/Berlin", "currency": "EUR"}
        return {
            "id": str(uuid4()), "source": "/gateway", "type": "gateway.workspace.created", "data": data,
            "subject": str(self.workspace.id), "time": datetime.now(UTC).isoformat(),
            "workspaceid": str(self.workspace.id),
        }  # fmt: skip

    def _send(self, asked: Ask) -> httpx.Response:
        operation, headers = asked.operation, dict(asked.headers)
        url = operation.path
        for name, value in asked.path.items():
            url = url.replace("{" + name + "}", quote(str(value), safe=""))
        sent: dict[str, Any] = {}
        if asked.body is not None and operation.media == "multipart/form-data":
            files = {"file": asked.body.get("file") if isinstance(asked.body.get("file"), bytes) else b"bytes"}
            sent = {"files": files, "data": {name: _told(each) for name, each in asked.body.items() if name != "file"}}
        elif asked.body is not None:
            content = json.dumps(asked.body)
            sent, headers["Content-Type"] = {"content": content}, str(operation.media)
            if operation.id == "receive_webhook":
                url = "/v1/webhooks/" + self.workspace.webhook_url.rpartition("/")[2]
                headers |= signed(content, datetime.now(UTC))
        if operation.id == "receive_events":
            headers["Authorization"] = f"Bearer {self.service_token}"
        encoded = {name.encode(): value.encode("latin-1", "replace") for name, value in headers.items()}
        http = self.another if operation.id in BY_ANOTHER else self.http
        return http.request(operation.method, url, params=asked.query, headers=encoded, **sent)

    def _row_for(self, operation: Operation) -> dict[str, str]:
        """The path of a row that the verb can be done to: any, if it can be done again; or a new one, led there."""
        if operation.id not in self._ways:
            self._ways[operation.id] = self._way_to(operation)
        way = self._ways[operation.id]
        maker = self._maker(operation)
        if way is None or maker is None:
            return {}
        row = self._made(maker)
        for step in way:
            self._do(step, row)
        return {"id": row} if row else {}

    def _maker(self, operation: Operation) -> Operation | None:
        path = operation.path.partition("/{id}")[0]
        return next((each for each in operations(self.part) if each.creates and each.path == path), None)

    def _made(self, maker: Operation) -> str:
        """A new row, with one of each that hangs on its kind: a campaign without goals can't be planned."""
        answer = self.run(self.workspace.create(maker))
        if not answer.is_success:
            return ""
        rows = self.workspace.rows[maker.resource]
        rows.insert(0, answer.json())
        for operation in operations(self.part):
            if operation.creates and operation is not maker and maker.resource in names_in(operation):
                self.run(self.workspace.create(operation))
        rows.pop(0)
        return str(answer.json().get("id", ""))

    def _do(self, operation: Operation, row: str) -> bool:
        asked = operation.ask(self.workspace)
        asked.path["id"] = row
        asked.headers |= {"If-Match": "*"} if operation.method == "PATCH" else {}
        return self._send(asked).is_success

    def _way_to(self, operation: Operation) -> list[Operation] | None:
        """Which verbs lead a new row to where this one is granted; None: none are known to."""
        maker = self._maker(operation)
        if maker is None:
            return None
        verbs = [
            each for each in operations(self.part)
            if each.method == "POST" and each.path.startswith(f"{maker.path}/{{id}}/") and each.id != operation.id
        ]  # fmt: skip
        ways: list[list[Operation]] = [[]]
        seen: set[str] = set()
        for _ in range(5):
            longer = []
            for way in ways:
                row = self._made(maker)
                if not all(self._do(step, row) for step in way):
                    continue
                state = str(self.http.get(f"{maker.path}/{row}").json().get("state"))
                if self._do(operation, row):
                    return way
                if state not in seen:
                    seen.add(state)
                    longer += [[*way, each] for each in verbs]
            ways = longer
        return None


@dataclass
class Graph:
    """The graph under generated documents."""

    workspace: Filled
    http: httpx.Client
    sdl: str
    tally: Tally = field(default_factory=Tally)
    schema: GraphQLSchema = field(init=False)

    def go(self, cases: int) -> Tally:
        self.schema = build_schema(self.sdl)
        # The second of each kind: verbs may end what services go on with.
        rows = {kind: found[1:2] or found[:1] for kind, found in self.workspace.rows.items()}
        self.workspace = replace(self.workspace, rows=rows)
        _scalars()
        document = schemathesis.graphql.from_file(self.sdl)
        found: list[Any] = [each.ok() for each in document.get_all_operations()]  # type: ignore[union-attr]
        verbs = {each.id: each for each in operations() if each.method != "GET"}
        by_name = {name: each for each in verbs.values() for name in [_camel(each.id)]}
        for operation in found:
            self._cases(operation, by_name, max(cases // len(found), 4))
        return self.tally

    def _cases(self, operation: Any, verbs: dict[str, Operation], count: int) -> None:
        name = operation.label

        @seed(SEED)
        @_settings(count)
        @given(case=operation.as_strategy(), rng=st.randoms(use_true_random=False))
        def one(case: Any, rng: random.Random) -> None:
            query = case.body
            if rng.random() < GRANTABLE / 10:
                query = self._grantable(query, verbs, rng)
            answer = self.http.post("/graphql", json={"query": query})
            self._note(name, query, answer)

        one()

    def _note(self, name: str, query: str, answer: httpx.Response) -> None:
        body = answer.json()
        codes = [each.get("extensions", {}).get("code") for each in body.get("errors", ())]
        if answer.status_code >= 500 or {None, "INTERNAL", "UPSTREAM_UNAVAILABLE"} & set(codes):
            self.tally.broken.append(f"{name}: {answer.status_code} {answer.text[:400]}\n  {query[:600]}")
        told = [each for each in (body.get("data") or {}).values() if isinstance(each, dict) and each.get("errors")]
        self.tally.note(name, granted=not codes and not told, refusal=str(told[:1] or body.get("errors", ())[:1]))

    def _grantable(self, query: str, verbs: dict[str, Operation], rng: random.Random) -> str:
        """The same document, with ids that there are and pages of a sensible length."""
        document = parse(query)
        graph = self

        class Mend(Visitor):
            def __init__(self) -> None:
                super().__init__()
                self.info = info

            def enter_field(self, node: Any, _key: Any, _parent: Any, path: Any, _a: Any) -> Any:
                operation = (
                    verbs.get(node.name.value) if self.info.get_parent_type() is graph.schema.mutation_type else None
                )
                if operation is None:
                    return None
                return FieldNode(
                    alias=node.alias, name=node.name, arguments=graph._arguments(operation),
                    directives=node.directives, selection_set=node.selection_set,
                )  # fmt: skip

            def enter_argument(self, node: Any, *_: Any) -> Any:
                known = {
                    "first": "3",
                    "from": "2026-01-01",
                    "to": "2026-03-01",
                    "metric": "email.ctr",
                    "key": "email.ctr",
                }
                if node.name.value == "after":
                    return REMOVE
                if node.name.value in known:
                    value = known[node.name.value]
                    kind = IntValueNode if node.name.value == "first" else StringValueNode
                    return ArgumentNode(name=node.name, value=kind(value=value))
                return None

            def enter_string_value(self, node: Any, *_: Any) -> Any:
                kind = self.info.get_input_type()
                if kind is not None and get_named_type(kind).name == "ID":
                    return StringValueNode(value=graph._some_id(self.info, rng))
                return None

            enter_int_value = enter_string_value

        info = TypeInfo(self.schema)
        return print_ast(visit(document, TypeInfoVisitor(info, Mend())))

    def _some_id(self, info: Any, rng: random.Random) -> str:
        # The newest of each kind: older ones may be what the stack itself was set up with, its own clients.
        rows = [rows[0] for rows in self.workspace.rows.values() if rows and "id" in rows[0]]
        return str(rng.choice(rows)["id"])

    def _arguments(self, operation: Operation) -> tuple[Any, ...]:
        found = verb(self.schema, operation.ask(self.workspace))
        assert found is not None
        assert self.schema.mutation_type is not None
        field = self.schema.mutation_type.fields[_camel(operation.id)]
        if operation.method == "PATCH" and "ifMatch" in field.args:
            found[1]["ifMatch"] = "*"
        return tuple(
            ArgumentNode(name=NameNode(value=name), value=_literal(value, field.args[name].type))
            for name, value in found[1].items()
        )


def _literal(value: Any, kind: Any) -> Any:
    return parse(f"{{ f(a: {_written(value, kind)}) }}").definitions[0].selection_set.selections[0].arguments[0].value  # type: ignore[attr-defined]


def _written(value: Any, kind: Any) -> str:
    while isinstance(kind, GraphQLNonNull):
        kind = kind.of_type
    if isinstance(kind, GraphQLEnumType):
        return str(value)
    if isinstance(kind, GraphQLList):
        return f"[{', '.join(_written(each, kind.of_type) for each in value)}]"
    if isinstance(kind, GraphQLInputObjectType):
        fields = (f"{name}: {_written(each, kind.fields[name].type)}" for name, each in value.items())
        return f"{{{', '.join(fields)}}}"
    return json.dumps(value)


def _told(value: Any) -> Any:
    """A form's field: text, or several."""
    if isinstance(value, list):
        return [each if isinstance(each, str) else json.dumps(each) for each in value]
    return value if isinstance(value, str | bytes) else json.dumps(value)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _scalars() -> None:
    from hypothesis_graphql import nodes

    days = st.dates(datetime(2025, 1, 1).date(), datetime(2027, 1, 1).date()).map(str)
    schemathesis.graphql.scalar("Date", days.map(nodes.String))
    moments = st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1)).map(lambda each: f"{each.isoformat()}Z")
    schemathesis.graphql.scalar("DateTime", moments.map(nodes.String))
    schemathesis.graphql.scalar("Decimal", st.decimals(0, 10_000, places=2).map(str).map(nodes.String))
    schemathesis.graphql.scalar("JSON", st.text(max_size=20).map(nodes.String))


def lines(tally: Tally) -> Iterator[str]:
    """The shares, operation by operation, and what the least granted are refused for."""
    for name, share in tally.shares.items():
        yield f"{share:7.1%}  {tally.asked[name]:6}  {name}"
        if share < 0.3:
            for refusal, count in tally.refusals[name].most_common(2):
                yield f"{'':9}{count:6}  {refusal}"
