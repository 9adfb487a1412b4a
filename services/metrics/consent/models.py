"""Decides what a receipt of consent is made of, and what callers send and get."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, StringConstraints
from pydantic import Field as Described
from sqlalchemy import Column, Index, LargeBinary
from sqlmodel import Field

from chassis.db import instant_column
from chassis.fields import Input, Readable, UtcDatetime
from services.metrics.db import Table
from services.metrics.recipient.models import Address
from services.metrics.suppression.models import SuppressionRead

Purpose = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_lower=True, min_length=1, max_length=100, pattern=r"^[^\x00]+$"),
    Described(description="What it is about, in your words.", examples=["newsletter"]),
]
Words = Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00]*$")]


class Consent(Table, table=True):
    """That somebody gave or withdrew consent, which never changes: what holds is the latest of a purpose. Whose it is
    stands here as a keyed hash alone."""

    __table_args__ = (
        Index(None, "workspace_id", "address_hash", "at"),
        *(Index(None, "workspace_id", each, "id") for each in ("purpose", "at", "recorded_at")),
    )

    address_hash: bytes = Field(sa_column=Column("address_hash", LargeBinary, nullable=False))
    purpose: str
    given: bool
    at: datetime = Field(sa_column=instant_column("at"))
    wording: str
    evidence: str
    recorded_at: datetime = Field(sa_column=instant_column("recorded_at"))
    recorded_by: str


class ConsentCreate(Input):
    """That somebody gave or withdrew consent to a purpose."""

    address: Address
    purpose: Purpose
    given: bool = Described(description="false: they withdraw it.")
    at: UtcDatetime = Described(description="When they said so: not after now.", examples=["2026-03-01T12:00:00Z"])
    wording: Words = Described("", description="What they agreed to, as it stood there.")
    evidence: Words = Described(
        "", description="How it can be shown: the form, the confirmation, who was told.", examples=["form signup-7"]
    )


class ConsentRead(Readable):
    """A receipt: that somebody gave or withdrew consent to a purpose."""

    id: UUID
    address: str | None = Described(description="Null once the person's data is erased.", examples=["ann@example.com"])
    purpose: str
    given: bool
    at: UtcDatetime
    wording: str
    evidence: str
    recorded_at: UtcDatetime
    recorded_by: str


class PersonAsked(Input):
    """Whom to look for."""

    address: Address


class StandingConsent(BaseModel):
    """What holds of one purpose."""

    purpose: str
    given: bool
    at: UtcDatetime


class PersonRead(BaseModel):
    """What is known of somebody, beside their events."""

    known: bool = Described(description="Whether the address is kept.")
    may_be_written_to: bool = Described(description="Whether nothing keeps one from it: no active or held suppression.")
    consents: list[StandingConsent]
    suppressions: list[SuppressionRead]
