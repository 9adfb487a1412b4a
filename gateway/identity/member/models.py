"""Decides what a member is made of: the one place that holds people's names and addresses."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, StringConstraints
from pydantic import Field as Described
from sqlalchemy import Column, Index, text
from sqlmodel import Field

from chassis.audit import HIDDEN
from chassis.db import Enums, enum_column, instant_column
from chassis.editing import Editable, Patch
from chassis.fields import Input, Name, Readable, UtcDatetime
from chassis.issuers import RESERVED
from chassis.roles import Role
from gateway.db import Table
from gateway.identity.member.rules import MemberState


def _of_an_issuer(subject: str) -> str:
    if subject.partition(":")[0] in RESERVED or not subject.isprintable():
        raise ValueError("begin with the name of a trusted issuer, for example company:")
    return subject


Subject = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,30}:.{1,255}$"),
    AfterValidator(_of_an_issuer),
    Described(
        description="As principals are called: the trusted issuer's name, a colon, and its `sub` for this person.",
        examples=["company:00u1a2b3"],
    ),
]
Email = Annotated[
    str,
    StringConstraints(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", max_length=254),
    Described(examples=["ada@example.com"]),
]
Roles = Annotated[list[Role], Described(min_length=1, max_length=5)]


class Member(Table, Editable, table=True):
    """A person of the workspace. Removing them erases name and address; the subject stays for what they did."""

    __table_args__ = (
        # As often as somebody comes back, but once at a time.
        Index(
            "member_workspace_id_subject_idx", "workspace_id", "subject",
            unique=True, postgresql_where=text("state <> 'removed'"),
        ),
        Index(None, "workspace_id", "subject", "id"),
        Index(None, "workspace_id", "state", "id"),
        Index(None, "workspace_id", "name", "id"),
        Index(None, "workspace_id", "created_at", "id"),
    )  # fmt: skip

    subject: str
    name: str = Field(sa_column_kwargs={"info": HIDDEN})
    email: str | None = Field(None, sa_column_kwargs={"info": HIDDEN})
    roles: list[Role] = Field(sa_column=Column("roles", Enums(Role), nullable=False))
    state: MemberState = Field(sa_column=enum_column(MemberState, "state"))
    created_at: datetime = Field(sa_column=instant_column("created_at"))
    created_by: str


class MemberFields(Input):
    name: Name
    email: Email | None = None
    roles: Roles = Described(description="What they may, where their issuer's token doesn't say.")


class MemberCreate(MemberFields):
    subject: Subject | None = Described(None, description="Left out: somebody who is known here and doesn't sign in.")


class MemberPatch(Patch, of=MemberFields):
    """What may change of a member."""


class MemberRead(Readable):
    """A person of the workspace."""

    id: UUID
    version: int
    subject: str = Described(description="Whom tokens, and fields like `owner`, mean by it.")
    name: str = Described(description="Empty once they are removed.")
    email: str | None = Described(description="Only for callers with `identity:read`.")
    roles: list[Role]
    state: MemberState
    created_at: UtcDatetime
    created_by: str


class Me(Readable):
    """Who the caller is, and what the caller may."""

    subject: str
    workspace_id: UUID
    roles: list[str]
    scopes: list[str]
    member: MemberRead | None = Described(description="The member that the token means, if there is one.")
