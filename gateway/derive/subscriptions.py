"""Decides what can be subscribed to: rows of a list, told one by one, with all edges that rows of the list have."""

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import strawberry
from strawberry.types.base import StrawberryList
from strawberry.types.field import StrawberryField

from gateway.derive.contract import Contract, ContractError
from gateway.derive.fields import argument, computed, optional
from gateway.derive.kinds import Heard
from gateway.derive.names import camel, pascal
from gateway.derive.types import Types

KINDS: dict[Any, Any] = {str: str, UUID: strawberry.ID, list[str]: StrawberryList(str)}


def subscription_fields(contract: Contract, types: Types, heard: Iterable[Heard]) -> Iterator[StrawberryField]:
    """The fields of Subscription. What is told is the root that each of its answers starts from."""
    for each in heard:
        operation = contract.operation(each.operation, each.name)
        if operation.items is None:
            raise ContractError(f"{each.name}: {operation.id} doesn't answer with items")
        node, _ = types.answer(operation.items, pascal(operation.id))
        field = computed(each.name.partition(".")[2], node, lambda row: row, each.description)
        field.arguments = [
            argument(name, camel(name), optional(KINDS[kind]), description)
            for name, kind, description in each.arguments
        ]
        yield field
