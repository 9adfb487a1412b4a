"""Decides what metrics keeps of the campaigns that goals tells it of, and of the tags that lead to them."""

from sqlalchemy import ARRAY, Column, LargeBinary, Text, UniqueConstraint
from sqlmodel import Field

from services.metrics.db import Table


class Campaign(Table, table=True):
    """A campaign under goals' own id."""

    __table_args__ = (UniqueConstraint("workspace_id", "slug"),)

    slug: str
    name: str


class TagSet(Table, table=True):
    """The tags of an event, in their order. Events share them: a campaign's events carry few different ones.

    This is what a new campaign's events are found by. An index over arrays on the events couldn't be used: its operator
    isn't leakproof, so row security forbids it to run before the policy.
    """

    __tablename__ = "tag_set"
    __table_args__ = (UniqueConstraint("workspace_id", "digest"),)

    tags: list[str] = Field(sa_column=Column("tags", ARRAY(Text), nullable=False))
    digest: bytes = Field(sa_column=Column("digest", LargeBinary, nullable=False))
