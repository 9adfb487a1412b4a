"""Decides what the services' OpenAPI documents offer: their operations and the schemas these speak of, as one contract.

A schema's name means one thing over all services; a document that says otherwise isn't a contract.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

Schema = Mapping[str, Any]

METHODS = ("get", "post", "put", "patch", "delete")
REF = "#/components/schemas/"
# What pages, sorts and groups a list; whatever else a list takes is a filter.
PAGING = frozenset({"limit", "cursor", "sort", "limit_per"})


class ContractError(Exception):
    """The documents, or the edges written for them, don't fit together."""


@dataclass(frozen=True)
class Parameter:
    """One parameter in the path, the query or a header."""

    name: str
    place: str
    schema: Schema
    required: bool
    description: str | None


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation of one service."""

    service: str
    id: str
    method: str
    path: str
    description: str | None
    in_graph: bool
    parameters: tuple[Parameter, ...]
    body: Schema | None
    answers: tuple[Schema, ...]

    def named(self, place: str) -> dict[str, Parameter]:
        return {parameter.name: parameter for parameter in self.parameters if parameter.place == place}

    @cached_property
    def query(self) -> dict[str, Parameter]:
        return self.named("query")

    @cached_property
    def filters(self) -> dict[str, Parameter]:
        return {name: parameter for name, parameter in self.query.items() if name not in PAGING}

    def _answer_with(self, name: str) -> Schema | None:
        return next((answer for answer in self.answers if name in answer.get("properties", {})), None)

    @property
    def items(self) -> Schema | None:
        """Schema of one item, when this answers with a list; a row by its id may hold items of its own."""
        page = None if self.path.endswith("}") else self._answer_with("items")
        return page["properties"]["items"]["items"] if page else None

    @property
    def is_list(self) -> bool:
        """Whether this is a resource's list, read page by page; other items are a batch that hangs on something."""
        return self.method == "GET" and self.in_graph and self.items is not None and "limit" in self.query

    @property
    def hangs_on_a_row(self) -> bool:
        """Whether the path goes on after a row's id (`/v1/goals/{id}/smart`): an edge's matter."""
        return "}/" in self.path

    @property
    def is_grouped(self) -> bool:
        return "limit_per" in self.query and self._answer_with("groups") is not None


def load(folder: Path) -> dict[str, Any]:
    """The committed documents by service."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


class Contract:
    """All services' documents together."""

    def __init__(self, documents: Mapping[str, Any]) -> None:
        self._schemas: dict[str, dict[str, Schema]] = {}
        self.operations: dict[str, Operation] = {}
        for service, document in documents.items():
            for name, schema in document.get("components", {}).get("schemas", {}).items():
                self._schemas.setdefault(name, {})[service] = schema
        for service, document in documents.items():
            for operation in self._read(service, document):
                known = self.operations.get(operation.id)
                if known is not None and (known.in_graph or operation.in_graph):
                    raise ContractError(f"{operation.id} is an operation of both {known.service} and {service}")
                self.operations[operation.id] = operation

    def _read(self, service: str, document: Any) -> Iterator[Operation]:
        for path, methods in document["paths"].items():
            for method in METHODS:
                if method not in methods:
                    continue
                said = methods[method]
                body = said.get("requestBody", {}).get("content", {})
                in_graph = said.get("x-graph", True) is not False
                if in_graph and body and "application/json" not in body:
                    raise ContractError(
                        f"{said['operationId']} takes {', '.join(body)}, which the graph can't send: say x-graph: false"
                    )
                yield Operation(
                    service=service,
                    id=said["operationId"],
                    method=method.upper(),
                    path=path,
                    description=said.get("description"),
                    in_graph=in_graph,
                    # Which fields are asked for is the graph's own matter.
                    parameters=tuple(
                        _parameter(each) for each in said.get("parameters", ()) if each["name"] != "fields"
                    ),
                    body=body.get("application/json", {}).get("schema"),
                    answers=tuple(self._answers(said["responses"])),
                )

    def _answers(self, responses: Any) -> Iterator[Schema]:
        for status, response in responses.items():
            if str(status).startswith("2"):
                schema = response.get("content", {}).get("application/json", {}).get("schema")
                for choice in (schema or {}).get("anyOf", [schema] if schema else []):
                    # A list's page and its groups are looked into; a read model is known by its name.
                    found = self._peek(choice)
                    yield found if {"items", "groups"} & set(found.get("properties", {})) else choice

    def _peek(self, schema: Schema) -> Schema:
        if "$ref" not in schema:
            return schema
        return next(iter(self._schemas[schema["$ref"].removeprefix(REF)].values()))

    def component(self, name: str) -> Schema:
        """The schema of that name, if all services mean the same by it."""
        versions = self._schemas.get(name)
        if not versions:
            raise ContractError(f"no service describes {name}")
        (first, schema), *others = versions.items()
        for service, other in others:
            if other != schema:
                raise ContractError(f"{name} means one thing in {first} and another in {service}: rename one")
        return schema

    def resolved(self, schema: Schema) -> Schema:
        return self.component(schema["$ref"].removeprefix(REF)) if "$ref" in schema else schema

    def operation(self, id: str, wanted_by: str) -> Operation:
        if id not in self.operations:
            raise ContractError(f"{wanted_by} asks for the operation {id}, which no service has")
        return self.operations[id]


def _parameter(said: Any) -> Parameter:
    schema = said.get("schema", {})
    description = said.get("description") or schema.get("description")
    return Parameter(said["name"], said["in"], schema, said.get("required", False), description)
