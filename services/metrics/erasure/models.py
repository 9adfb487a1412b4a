"""Decides what is kept of an erasure, and what callers send and get."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field as Described
from pydantic import StringConstraints, model_validator
from sqlalchemy import Column, Index, LargeBinary
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from chassis.db import enum_column, instant_column
from chassis.fields import Input, Readable, UtcDatetime
from services.metrics.db import Table
from services.metrics.erasure.rules import ErasureState
from services.metrics.recipient.models import Address


class Erasure(Table, table=True):
    """That somebody was erased, which a backup that is restored has to repeat. `needle` is the address, sealed, until
    all is looked through."""

    __table_args__ = tuple(Index(None, "workspace_id", each, "id") for each in ("state", "requested_at"))

    address_hash: bytes = Field(sa_column=Column("address_hash", LargeBinary, nullable=False))
    needle: bytes | None = Field(None, sa_column=Column("needle", LargeBinary, info={"hidden": True}))
    state: ErasureState = Field(sa_column=enum_column(ErasureState, "state"))
    requested_at: datetime = Field(sa_column=instant_column("requested_at"))
    requested_by: str
    done_at: datetime | None = Field(None, sa_column=instant_column("done_at", nullable=True))
    found: dict[str, int] = Field(default_factory=dict, sa_column=Column("found", JSONB, nullable=False))


Hash = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{64}$"),
    Described(description="As an erasure names it: to repeat it after a backup was restored.", examples=["0" * 64]),
]


class RecipientErasureCreate(Input):
    """Whom to erase: by address, or by the hash of an erasure before."""

    address: Address | None = None
    address_hash: Hash | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.address is None) == (self.address_hash is None):
            raise ValueError("say either address or address_hash")
        return self


class RecipientErasureRead(Readable):
    """That somebody was erased. Keep it outside the database: what a restored backup brings back is erased again by its
    hash."""

    id: UUID
    address_hash: str = Described(description="The keyed hash of the address, as hex; it tells nothing of it.")
    state: ErasureState = Described(
        description="`sweeping`: the address is gone from where it is kept, and what may quote it is being looked "
        "through; `done`: it stands nowhere."
    )
    requested_at: UtcDatetime
    requested_by: str
    done_at: UtcDatetime | None
    found: dict[str, int] = Described(description="In how many rows of which columns it stood.")
