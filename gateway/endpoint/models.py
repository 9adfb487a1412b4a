"""Decides what an endpoint is made of: its row, and what callers send and get."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field as Described
from pydantic import StringConstraints
from sqlalchemy import ARRAY, Column, Index, LargeBinary, Text
from sqlmodel import Field

from chassis.db import enum_column, instant_column
from chassis.editing import Editable, Patch
from chassis.fields import Input, Readable, UtcDatetime, Version
from gateway.db import Table
from gateway.endpoint.rules import EndpointState, PauseReason

WEEK_MINUTES = 10_080


class Endpoint(Table, Editable, table=True):
    """Its secrets are sealed. `parts` are those whose events its maker could read; it is told of no others'."""

    __table_args__ = (*(Index(None, "workspace_id", each, "id") for each in ("state", "created_at")),)

    url: str
    description: str
    types: list[str] = Field(sa_column=Column("types", ARRAY(Text), nullable=False))
    parts: list[str] = Field(sa_column=Column("parts", ARRAY(Text), nullable=False))
    state: EndpointState = Field(EndpointState.ACTIVE, sa_column=enum_column(EndpointState, "state"))
    pause_reason: PauseReason | None = Field(None, sa_column=enum_column(PauseReason, "pause_reason", nullable=True))
    failing_since: datetime | None = Field(None, sa_column=instant_column("failing_since", nullable=True))
    secret: bytes = Field(sa_column=Column("secret", LargeBinary, nullable=False))
    old_secret: bytes | None = Field(None, sa_column=Column("old_secret", LargeBinary))
    old_secret_ends_at: datetime | None = Field(None, sa_column=instant_column("old_secret_ends_at", nullable=True))
    created_at: datetime = Field(sa_column=instant_column("created_at"))
    created_by: str


Pattern = Annotated[
    str,
    StringConstraints(pattern=r"^(\*|[a-z_]+(\.[a-z_]+)*(\.\*)?)$", max_length=100),
    Described(examples=["goals.*"]),
]


class EndpointCreate(Input):
    """A place of yours that is told what happens."""

    url: str = Field(
        min_length=1, max_length=2000,
        description="Where events are posted: https, at a public address. It is resolved anew for each post.",
        schema_extra={"examples": ["https://hooks.example.com/mops"]},
    )  # fmt: skip
    description: str = Field("", max_length=500, schema_extra={"examples": ["Our data warehouse"]})
    types: Annotated[list[Pattern], Described(min_length=1, max_length=50)] = Field(
        description="What it is told of: types of events, all of a kind (`goals.goal.*`), all of a part (`goals.*`), "
        "or `*`; `/v1/happening-types` lists them. Of parts that its maker may not read it is told nothing.",
        schema_extra={"examples": [["goals.*", "budget.request.decided"]]},
    )


class EndpointPatch(Patch, of=EndpointCreate):
    """What may change of an endpoint."""


class EndpointRotate(Input):
    keep_old_minutes: int = Described(
        1440,
        ge=0,
        le=WEEK_MINUTES,
        description="How long the secret so far still signs beside the new one, up to a week.",
    )


class EndpointReplay(Input):
    since: UtcDatetime = Described(
        description="What happened from then on, up to 30 days ago.", examples=["2026-06-15T10:00:00Z"]
    )


class EndpointReplayed(Readable):
    """What will be told again."""

    IDENTITY = "endpoint_id"
    endpoint_id: UUID
    deliveries: int = Described(description="How many are on their way now.")


class EndpointRead(Readable):
    """An endpoint, without its secrets."""

    id: UUID
    url: str
    description: str
    types: list[str] = Described(examples=[["goals.*"]])
    parts: list[str] = Described(description="Of which parts it may be told: those that its maker could read.")
    state: EndpointState = Described(
        description="`disabled`: by somebody. `paused`: by the system, see `pause_reason`. Neither is told anything."
    )
    pause_reason: PauseReason | None = Described(
        description="`failing`: it took nothing for five days. `gone`: it answered 410."
    )
    failing_since: UtcDatetime | None = Described(description="When the failures since its last success began.")
    old_secret_ends_at: UtcDatetime | None = Described(description="Until when the secret before this one signs too.")
    created_at: UtcDatetime
    created_by: str = Described(description="Subject of whoever made it.")
    version: Version


class EndpointSecret(EndpointRead):
    """An endpoint with a new secret, which is shown this once."""

    secret: str = Described(
        repr=False, description="What its posts are signed with, as Standard Webhooks has it.", examples=["whsec_MfKQ…"]
    )
