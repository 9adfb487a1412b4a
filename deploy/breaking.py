"""Decides which changes of a contract break those who call by it: OpenAPI documents and the graph, old against new."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import build_schema, find_breaking_changes

from gateway.derive.contract import METHODS, REF

Schema = Mapping[str, Any]
# What bounds a value: a caller's is refused when these rise or fall.
AT_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems")
AT_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
TAKEN, GIVEN = "request", "answer"


@dataclass(frozen=True)
class Break:
    """One change that breaks callers. `subject` is what CHANGELOG.md declares it by: an operation's id, or a type of
    the graph with its field."""

    subject: str
    what: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.what}"


def declared(changelog: str) -> set[str]:
    """The subjects of `BREAKING: SUBJECT: why` in the newest section of the changelog."""
    newest = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:2]
    return set(re.findall(r"^[-*\s]*BREAKING: ([\w.]+): \S", newest[0], re.MULTILINE)) if newest else set()


def undeclared(breaks: list[Break], changelog: str) -> list[Break]:
    """Those that the changelog doesn't own up to, by their subject or its type."""
    known = declared(changelog)
    return [each for each in breaks if not {each.subject, each.subject.partition(".")[0]} & known]


def of_graph(old: str, new: str) -> list[Break]:
    """What breaks those who ask the graph."""
    before, after = build_schema(old), build_schema(new)
    return [Break(_subject(each.description), each.description) for each in find_breaking_changes(before, after)]


def _subject(description: str) -> str:
    """What a change is about: `Goal.title was removed.`, `LIVE was removed from enum type CampaignState.`"""
    dotted = re.search(r"'?\b([A-Z]\w*\.\w+)", description)
    named = re.search(r"(?:type|enum|union|input) '?(\w+)", description) or re.search(
        r"'?\b([A-Z]\w+[a-z]\w*)", description
    )
    found = dotted or named
    return found[1] if found else "graph"


def of_openapi(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Break]:
    """What breaks those who call a service."""
    comparison = _Comparison(old, new)
    comparison.run()
    return comparison.found


@dataclass
class _Comparison:
    old: Mapping[str, Any]
    new: Mapping[str, Any]
    found: list[Break] = field(default_factory=list)
    subject: str = ""
    _seen: set[tuple[str, ...]] = field(default_factory=set)

    def run(self) -> None:
        for path, method, before in _operations(self.old):
            self.subject = before["operationId"]
            self._seen.clear()
            after = self.new["paths"].get(path, {}).get(method)
            if after is None:
                self._say(f"{method.upper()} {path} is gone")
                continue
            if after["operationId"] != self.subject:
                self._say(f"is now called {after['operationId']}, and its mutation with it")
            self._scopes(before, after)
            self._parameters(before, after)
            self._body(before, after)
            self._answers(before, after)

    def _say(self, what: str) -> None:
        if Break(self.subject, what) not in self.found:
            self.found.append(Break(self.subject, what))

    def _scopes(self, before: Any, after: Any) -> None:
        more = _scopes_of(after) - _scopes_of(before)
        if more:
            self._say(f"needs the scope {' '.join(sorted(more))} too")

    def _parameters(self, before: Any, after: Any) -> None:
        old, new = (
            {(each["in"], each["name"].lower()): each for each in said.get("parameters", ())}
            for said in (before, after)
        )
        for key, each in old.items():
            if key not in new:
                self._say(f"no longer takes the {each['in']} parameter {each['name']}")
            else:
                self._schema(each["schema"], new[key]["schema"], each["name"], TAKEN)
        for key, each in new.items():
            if each.get("required") and not old.get(key, {}).get("required"):
                self._say(f"now needs the {each['in']} parameter {each['name']}")

    def _body(self, before: Any, after: Any) -> None:
        old, new = (said.get("requestBody", {}) for said in (before, after))
        if new.get("required") and not old.get("required"):
            self._say("now needs a body")
        for media, each in old.get("content", {}).items():
            if media not in new.get("content", {}):
                self._say(f"no longer takes {media}")
            else:
                self._schema(each.get("schema", {}), new["content"][media].get("schema", {}), "body", TAKEN)

    def _answers(self, before: Any, after: Any) -> None:
        for status, each in before["responses"].items():
            other = after["responses"].get(status)
            if other is None:
                self._say(f"no longer answers {status}")
                continue
            for media, content in each.get("content", {}).items():
                if media not in other.get("content", {}):
                    self._say(f"no longer answers {status} as {media}")
                else:
                    self._schema(
                        content.get("schema", {}), other["content"][media].get("schema", {}), f"{status}", GIVEN
                    )

    def _schema(self, old: Schema, new: Schema, at: str, way: str) -> None:
        mark = (str(old.get("$ref")), str(new.get("$ref")), way)
        if "$ref" in old and mark in self._seen:
            return
        self._seen.add(mark)
        (before, null_before), (after, null_after) = _bare(old, self.old), _bare(new, self.new)
        if way == TAKEN and null_before and not null_after:
            self._say(f"{at} of the request can't be null any more")
        if way == GIVEN and null_after and not null_before:
            self._say(f"{at} of the answer can be null now")
        choices = [_choices(each) for each in (before, after)]
        if choices[0] or choices[1]:
            self._choices(choices[0], choices[1], before, after, at, way)
            return
        if _kind(before) != _kind(after) and not (way == TAKEN and _widens(before, after)):
            self._say(f"{at} of the {way} was {_kind(before) or 'anything'}, and is {_kind(after) or 'anything'}")
            return
        self._values(before, after, at, way)
        if "items" in before and "items" in after:
            self._schema(before["items"], after["items"], f"{at}[]", way)
        self._fields(before, after, at, way)

    def _choices(self, olds: Any, news: Any, before: Schema, after: Schema, at: str, way: str) -> None:
        """Of several shapes each that could be sent is still taken; each that could come was one before."""
        olds, news = olds or [before], news or [after]
        missing = [each for each in olds if not any(_alike(each, other) for other in news)]
        if missing:
            self._say(f"{at} of the {way} can no longer be {', '.join(map(_kind, missing))}")
        for place, each in enumerate(olds):
            if each not in news and each not in missing:
                # Shapes without a name are told apart by their place.
                same = [other for other in news[place : place + 1] if _alike(each, other)]
                self._schema(each, (same or [other for other in news if _alike(each, other)])[0], at, way)

    def _values(self, old: Schema, new: Schema, at: str, way: str) -> None:
        before, after = _enum(old), _enum(new)
        if after is not None and (before is None or before - after) and way == TAKEN:
            lost = sorted(before - after) if before else []
            self._say(f"{at} of the request no longer takes {', '.join(lost) or 'any text'}")
        if before is not None and way == GIVEN and (after is None or before - after):
            self._say(f"{at} of the answer is no longer one of {', '.join(sorted(before))}")
        if way == TAKEN:
            for name, narrows in (*((each, 1) for each in AT_LEAST), *((each, -1) for each in AT_MOST)):
                bound, was = new.get(name), old.get(name)
                if bound is not None and (was is None or (bound - was) * narrows > 0):
                    self._say(f"{at} of the request has a {name} of {bound} now")
            if "pattern" in new and new["pattern"] != old.get("pattern"):
                self._say(f"{at} of the request must look like {new['pattern']} now")

    def _fields(self, old: Schema, new: Schema, at: str, way: str) -> None:
        before, after = old.get("properties", {}), new.get("properties", {})
        needed_before, needed_after = set(old.get("required", ())), set(new.get("required", ()))
        for name, each in before.items():
            if name in after:
                self._schema(each, after[name], f"{at}.{name}", way)
            elif way == GIVEN or new.get("additionalProperties") is False:
                self._say(f"{at}.{name} of the {way} is gone")
        if way == TAKEN:
            for name in sorted(needed_after - needed_before):
                self._say(f"{at}.{name} of the request is needed now")
        else:
            for name in sorted((needed_before - needed_after) & set(after)):
                self._say(f"{at}.{name} of the answer can be absent now")


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                yield path, method, methods[method]


def _scopes_of(said: Mapping[str, Any]) -> set[str]:
    return {scope for each in said.get("security", ()) for scopes in each.values() for scope in scopes}


def _bare(schema: Schema, document: Mapping[str, Any]) -> tuple[Schema, bool]:
    """A schema without references and null at its top, and whether it takes null."""
    null = False
    while True:
        if "$ref" in schema:
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**document["components"]["schemas"][schema["$ref"].removeprefix(REF)], **beside}
            continue
        others = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
        null = null or len(others) < len(schema.get("anyOf", ()))
        if len(others) != 1:
            return schema, null
        schema = {**{key: value for key, value in schema.items() if key != "anyOf"}, **others[0]}


def _choices(schema: Schema) -> list[Schema]:
    return [each for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ())) if each.get("type") != "null"]


def _alike(one: Schema, other: Schema) -> bool:
    return one.get("$ref") == other.get("$ref") and _kind(one) == _kind(other)


def _kind(schema: Schema) -> str:
    shape = schema.get("$ref", "").removeprefix(REF) or schema.get("format") or ""
    return f"{schema.get('type', '')} {shape}".strip()


def _widens(old: Schema, new: Schema) -> bool:
    """Whether what was taken still is: any integer is a number, anything goes where no type is named."""
    return not new.get("type") or (old.get("type"), new.get("type")) == ("integer", "number")


def _enum(schema: Schema) -> set[str] | None:
    if "const" in schema:
        return {str(schema["const"])}
    return {str(each) for each in schema["enum"]} if "enum" in schema else None
