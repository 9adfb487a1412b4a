"""Decides which GraphQL type a schema of the contract is, as an answer and as an input."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import strawberry
from strawberry.types.base import StrawberryList

from gateway.derive.contract import REF, Contract, ContractError, Schema
from gateway.derive.fields import argument, fields_of, new_type, optional, plain
from gateway.derive.names import camel, enum_name, input_name, pascal, type_name
from gateway.derive.scalars import FORMATS, KINDS, Json


class Types:
    """Every type made so far, by its name in the graph; the same name for something else is an error."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self._made: dict[str, tuple[str, Any]] = {}

    def named(self, name: str) -> Any:
        """The type of that name, or None."""
        return self._made.get(name, (None, None))[1]

    def claim(self, name: str, source: str, make: Any) -> tuple[Any, bool]:
        """The type of that name, and whether it is new. `source` says what it is made from."""
        if name in self._made:
            known, kind = self._made[name]
            if known != source:
                raise ContractError(f"the graph's type {name} would be both {known} and {source}: rename one")
            return kind, False
        kind = make()
        self._made[name] = (source, kind)
        return kind, True

    def answer(self, schema: Schema, hint: str) -> tuple[Any, bool]:
        """A schema's type in an answer, and whether it may be null; `hint` names what has no name of its own."""
        return self._typed(schema, hint, is_input=False)

    def sent(self, schema: Schema, hint: str) -> tuple[Any, bool]:
        return self._typed(schema, hint, is_input=True)

    def argument(self, rest_name: str, schema: Schema, hint: str, *, required: bool, description: str | None) -> Any:
        kind, nullable = self.sent(schema, hint)
        wanted = kind if required and not nullable else optional(kind)
        return argument(rest_name, camel(rest_name), wanted, description)

    def _typed(self, schema: Schema, hint: str, *, is_input: bool) -> tuple[Any, bool]:
        for several in ("anyOf", "oneOf", "allOf"):
            if several in schema:
                choices = [choice for choice in schema[several] if choice.get("type") != "null"]
                nullable = len(choices) < len(schema[several])
                if {choice.get("type") for choice in choices} == {"integer", "number"}:
                    return float, nullable
                if len(choices) != 1:
                    # GraphQL has no union of scalars, nor any in inputs: such a value passes as it is.
                    return Json, nullable
                kind, inner = self._typed(choices[0], hint, is_input=is_input)
                return kind, nullable or inner
        if "$ref" in schema:
            component = schema["$ref"].removeprefix(REF)
            return self._component(component, self.contract.component(component), is_input=is_input)
        return self._inline(schema, hint, is_input=is_input)

    def _component(self, name: str, schema: Schema, *, is_input: bool) -> tuple[Any, bool]:
        if "enum" in schema and schema.get("type") == "string":
            return self._enum(name, schema), False
        if schema.get("properties"):
            return self._object(name, schema, is_input=is_input), False
        return self._typed(schema, name, is_input=is_input)

    def _inline(self, schema: Schema, hint: str, *, is_input: bool) -> tuple[Any, bool]:
        kind = schema.get("type")
        if "enum" in schema and kind == "string":
            return self._enum(hint, schema), False
        if kind == "array":
            inner, nullable = self._typed(schema.get("items", {}), hint, is_input=is_input)
            return StrawberryList(optional(inner) if nullable else inner), False
        if kind == "object" and schema.get("properties"):
            return self._object(hint, schema, is_input=is_input), False
        if isinstance(kind, str):
            return FORMATS.get(schema.get("format", ""), KINDS[kind]), False
        return (str, False) if isinstance(schema.get("const"), str) else (Json, True)

    def _enum(self, name: str, schema: Schema) -> Any:
        values: list[str] = schema["enum"]
        spelled = {enum_name(value): value for value in values}
        if len(spelled) < len(values):
            raise ContractError(f"two values of {name} are spelled alike in the graph: {', '.join(values)}")
        functional: Any = StrEnum
        made = functional(name, spelled)
        kind, _ = self.claim(
            name,
            f"the enum {name} of {', '.join(values)}",
            lambda: strawberry.enum(made, name=name, description=schema.get("description")),
        )
        return kind

    def _object(self, name: str, schema: Schema, *, is_input: bool) -> Any:
        spelled = input_name(name) if is_input else type_name(name)
        kind, is_new = self.claim(
            spelled,
            f"the input {name}" if is_input else name,
            lambda: new_type(spelled, schema.get("description"), is_input=is_input),
        )
        if is_new:
            fields_of(kind).extend(self._properties(type_name(name), schema, is_input=is_input))
        return kind

    def _properties(self, owner: str, schema: Schema, *, is_input: bool) -> Iterator[Any]:
        required = set(schema.get("required", ()))
        for name, said in schema["properties"].items():
            kind, nullable = self._typed(said, owner + pascal(name), is_input=is_input)
            if nullable or name not in required:
                kind = optional(kind)
            yield plain(name, camel(name), kind, said.get("description"))
