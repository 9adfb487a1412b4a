"""Decides what pages of lists look like, and where the next one begins."""

import base64
import json
from collections.abc import Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field

from chassis.errors import Invalid
from chassis.fields import refuse_nul

MOST = 200

Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next_cursor: str | None = Field(None, description="Send it as `cursor` for the next page; null on the last one.")

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        return f"{params[0].__name__.removesuffix('Read')}Page"


class Group(BaseModel, Generic[Item]):
    """The first items that belong to one parent."""

    key: UUID = Field(description="The parent's id.")
    items: list[Item]
    next_cursor: str | None = Field(None, description="Send it as `cursor` with this one parent for its next page.")

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        return f"{params[0].__name__.removesuffix('Read')}Group"


class Groups(BaseModel, Generic[Item]):
    """A page for each parent asked for, in the order they were asked for."""

    groups: list[Group[Item]]

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        return f"{params[0].__name__.removesuffix('Read')}Groups"


Ids = Annotated[list[UUID], Query(max_length=MOST, description=f"Only these, up to {MOST}.")]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value.value if isinstance(value, StrEnum) else str(value) if isinstance(value, UUID) else value


def encode_cursor(sort: str, *position: Any) -> str:
    # Characters as they are: escaped, a long name would make a cursor that is too long to come back.
    text = json.dumps([sort, *map(_plain, position)], ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, sort: str, kinds: Sequence[Any]) -> list[Any]:
    """The position in a cursor; Invalid when it isn't one of this list in this order."""
    try:
        found, *position = json.loads(
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        )
        if found != sort or len(position) != len(kinds):
            raise ValueError
        json.dumps(refuse_nul(position), ensure_ascii=False).encode()  # ValueError for half of a pair
        return [
            kind.fromisoformat(value) if issubclass(kind, date) else kind(value)  # datetime is a date
            for kind, value in zip(kinds, position, strict=True)
        ]
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError):
        raise Invalid.field("cursor", "not a cursor of this list in this order", "cursor") from None
