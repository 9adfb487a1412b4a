"""Decides what is kept of what happens in all parts, and what callers get of it."""

from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

from pydantic import Field as Described
from sqlalchemy import BigInteger, Column, Identity, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from chassis.audit import UNAUDITED
from chassis.db import instant_column
from chassis.errors import Invalid
from chassis.fields import Readable, UtcDatetime
from chassis.paging import decode_cursor, encode_cursor
from gateway.db import Table


class Happening(Table, table=True):
    """An event of any part, under its own id. `position` rises in the order of commits within a workspace, so that
    whoever remembers the last one seen misses none."""

    __table_args__ = (
        Index(None, "workspace_id", "position", unique=True),
        *(Index(None, "workspace_id", each, "id") for each in ("type", "part", "subject", "occurred_at")),
        Index(None, "received_at"),
        {"info": UNAUDITED},
    )

    position: int = Field(sa_column=Column("position", BigInteger, Identity(always=True), nullable=False))
    type: str
    part: str
    subject: str
    data: dict[str, Any] = Field(sa_column=Column("data", JSONB, nullable=False))
    occurred_at: datetime = Field(sa_column=instant_column("occurred_at"))
    received_at: datetime = Field(sa_column=instant_column("received_at"))
    trace: str | None

    @property
    def cursor(self) -> str:
        return cursor_of(self.position, self.received_at)


_CURSOR = "happening"
LARGEST = 2**63


def cursor_of(position: int, at: datetime) -> str:
    """A position as callers keep it, and when it was the last."""
    return encode_cursor(_CURSOR, position, int(at.timestamp()))


def position_of(cursor: str) -> tuple[int, datetime]:
    """What a cursor says; Invalid when it isn't one."""
    position, at = decode_cursor(cursor, _CURSOR, [int, int])
    try:
        if not 0 <= position < LARGEST:
            raise ValueError
        return int(position), datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        raise Invalid.field("cursor", "not a cursor of what happened", "cursor") from None


class HappeningRead(Readable):
    """Something that happened in the workspace, as other systems are told of it."""

    id: UUID = Described(description="The same wherever it is told.")
    type: str = Described(description="One of `happeningTypes`.", examples=["goals.campaign.created"])
    part: str = Described(description="Who told of it.", examples=["goals"])
    subject: str = Described(description="The id of what it happened to.")
    data: dict[str, Any] = Described(description="What there is to say of it, as its type has it.")
    occurred_at: UtcDatetime
    cursor: str = Described(
        description="Its place in the workspace's events: the subscription `happenings` goes on after it."
    )


class HappeningTypeRead(Readable):
    """A kind of event, and what is said of one."""

    IDENTITY: ClassVar[str] = "type"
    type: str = Described(examples=["goals.campaign.created"])
    part: str = Described(description="Who tells of it.", examples=["goals"])
    description: str
    data_schema: dict[str, Any] = Described(description="JSON Schema of `data`.")
