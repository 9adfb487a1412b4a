"""Decides what there is to ask: every operation of every part, with each place where an id can stand."""

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Protocol
from uuid import UUID

import httpx

from gateway.derive.contract import METHODS, PAGING, REF
from tests.contract import values
from tests.parts import APPS

Schema = Mapping[str, Any]
Path = tuple[str | int, ...]


class Known(Protocol):
    """What a workspace holds, for requests that name some of it."""

    @property
    def today(self) -> str: ...

    def id_of(self, name: str, resource: str) -> str | None:
        """An id that a field or parameter of that name can hold, in an operation on that resource."""

    def key_of(self, name: str, resource: str) -> str | None:
        """A value of a resource's natural key: the metric's `key` in `/v1/metrics/{key}`."""

    def text(self, name: str) -> str:
        """Free text that nobody else would write."""


@dataclass
class Ask:
    """One request, and where ids stand in it: ("path", "id"), ("query", "campaign_id"), ("body", "queries", 0, ...)."""

    operation: "Operation"
    path: dict[str, str] = field(default_factory=dict)
    query: dict[str, Any] = field(default_factory=dict)
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    slots: list[Path] = field(default_factory=list)

    def having(self, slot: Path, value: Any) -> "Ask":
        """The same with another value in one slot."""
        # The operation holds the whole contract: that isn't copied.
        asked = replace(self, path=dict(self.path), query=copy.deepcopy(self.query), body=copy.deepcopy(self.body))
        place: Any = {"path": asked.path, "query": asked.query, "body": asked.body}[str(slot[0])]
        for step in slot[1:-1]:
            place = place[step]
        place[slot[-1]] = value
        return asked

    async def send(self, client: httpx.AsyncClient) -> httpx.Response:
        url = self.operation.path
        for name, value in self.path.items():
            url = url.replace("{" + name + "}", str(value))
        sent: dict[str, Any] = {}
        media = self.operation.media
        if self.body is not None and media == "multipart/form-data":
            files = {name: value for name, value in self.body.items() if isinstance(value, bytes)}
            sent = {"files": files, "data": {name: self.body[name] for name in self.body if name not in files}}
        elif self.body is not None:
            content = self.body if media == "text/csv" else json.dumps(self.body)
            sent = {"content": content, "headers": {"Content-Type": media}}
        headers = {**sent.pop("headers", {}), **self.headers}
        return await client.request(self.operation.method, url, params=self.query, headers=headers, **sent)


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation of one part."""

    part: str
    method: str
    path: str
    said: Mapping[str, Any]
    schemas: Mapping[str, Schema]

    def __str__(self) -> str:
        return f"{self.part} {self.method} {self.path}"

    @property
    def id(self) -> str:
        return str(self.said["operationId"])

    @property
    def parameters(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = self.said.get("parameters", ())
        return found

    @property
    def media(self) -> str | None:
        return next(iter(self.said.get("requestBody", {}).get("content", {})), None)

    @property
    def resource(self) -> str:
        """`goal` of `/v1/goals/{id}/smart`: what the path's first collection holds."""
        return singular(self.path.removeprefix("/v1/").partition("/")[0])

    @property
    def creates(self) -> bool:
        """Whether it makes a row of a collection by itself; what is made below a row is one of that row's verbs."""
        plain = self.method == "POST" and "201" in self.said["responses"] and "{" not in self.path
        return plain and not self.is_platform

    @property
    def is_platform(self) -> bool:
        """Whether it is for those who run the installation, and works over workspaces: no workspace's token may."""
        scopes = [scope for each in self.said.get("security", ()) for scope in each.get("OAuth2", ())]
        return any(scope.startswith("platform:") for scope in scopes)

    @property
    def takes_paging(self) -> bool:
        return "cursor" in {each["name"] for each in self.parameters}

    def resolved(self, schema: Schema) -> Schema:
        """A schema without references and nulls at its top."""
        while "$ref" in schema or "anyOf" in schema:
            if "$ref" in schema:
                schema = {
                    **self.schemas[schema["$ref"].removeprefix(REF)],
                    **{k: schema[k] for k in schema if k != "$ref"},
                }
            else:
                choice = next(each for each in schema["anyOf"] if each.get("type") != "null")
                schema = {**{k: schema[k] for k in schema if k != "anyOf"}, **choice}
        return schema

    def ask(self, known: Known, *, whole: bool = True) -> Ask:
        """A request that a workspace with these rows would grant. `whole`: with all that may be left out, too."""
        asked = Ask(self)
        for each in self.parameters:
            name, place, schema = each["name"], each["in"], self.resolved(each["schema"])
            many = schema.get("type") == "array"
            item = self.resolved(schema["items"]) if many else schema
            if place == "path":
                owner = singular(self.path.partition("/{" + name + "}")[0].rpartition("/")[2])
                if item.get("format") == "uuid":
                    asked.path[name] = known.id_of("id" if name == "id" else name, owner) or ABSENT
                    asked.slots.append(("path", name))
                elif item.get("type") == "integer":
                    asked.path[name] = "1"
                elif "enum" in item:
                    asked.path[name] = item["enum"][0]
                else:
                    asked.path[name] = known.key_of(name, owner) or known.text(name)
            elif place == "query" and item.get("format") == "uuid":
                # Optional filters are slots too, and stay out of the request until something is tried in them.
                asked.slots.append(("query", name))
                if each.get("required"):
                    asked.query[name] = known.id_of(name, self.resource) or ABSENT
            elif place == "query" and each.get("required"):
                asked.query[name] = self._value(item, name, ("query", name), known, whole, asked)
            elif place == "query" and is_text(item) and name not in PAGING:
                asked.slots.append(("query", name))
        if self.media:
            schema = self.said["requestBody"]["content"][self.media].get("schema", {})
            # What needs nothing by itself says something all the same.
            whole = whole or not self.resolved(schema).get("required")
            asked.body = self._value(schema, "body", ("body",), known, whole, asked)
            if isinstance(asked.body, dict):
                said = copy.deepcopy(values.BODIES.get(self.id, {}))
                asked.body |= {name: known.today if each == values.TODAY else each for name, each in said.items()}
        return asked

    def _value(self, schema: Schema, name: str, at: Path, known: Known, whole: bool, asked: Ask) -> Any:
        schema = self.resolved(schema)
        if "oneOf" in schema:
            schema = self.resolved(schema["oneOf"][-1])
        kind = schema.get("type")
        if "enum" in schema or "const" in schema:
            return schema["enum"][0] if "enum" in schema else schema["const"]
        if kind == "object":
            return self._object(schema, at, known, whole, asked)
        if kind == "array":
            item = self._value(schema["items"], name, (*at, 0), known, whole, asked)
            return [] if item is None else [item]
        if schema.get("format") == "uuid":
            found = known.id_of(name, self.resource)
            if found is not None:
                asked.slots.append(at)
            return found
        return values.plain(schema, name, known.text(name))

    def _object(self, schema: Schema, at: Path, known: Known, whole: bool, asked: Ask) -> dict[str, Any]:
        needed = schema.get("required", ())
        made = {}
        for name, each in schema.get("properties", {}).items():
            if name in needed or whole:
                value = self._value(each, name, (*at, name), known, whole, asked)
                if value is not None:
                    made[name] = value
                # Where nothing is needed by itself, one of the fields is.
                if not needed and at != ("body",):
                    break
        return made


# No row ever has it.
ABSENT = "01890a5d-ac96-774b-bcce-b302099a8057"


def is_text(schema: Schema) -> bool:
    return schema.get("type") == "string" and not {"enum", "const", "format"} & set(schema)


def singular(plural: str) -> str:
    """`api-clients` -> `api_client`."""
    name = plural.replace("-", "_")
    return re.sub(r"ies$", "y", name) if name.endswith("ies") else name.removesuffix("s")


def operations(*parts: str) -> list[Operation]:
    """Every operation of the parts' OpenAPI documents, those that only read first."""
    return sorted(_all(parts or tuple(APPS)), key=lambda each: (each.method != "GET", each.creates))


@cache
def _all(parts: tuple[str, ...]) -> tuple[Operation, ...]:
    documents = [(part, APPS[part].openapi()) for part in parts]
    return tuple(
        Operation(part, method.upper(), path, methods[method], document["components"]["schemas"])
        for part, document in documents
        for path, methods in document["paths"].items()
        for method in METHODS
        if method in methods
    )


def ids_in(text: str) -> set[str]:
    """Every id that a text names."""
    return {str(UUID(found)) for found in re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", text)}
