"""Decides what an asset is made of: its rows, and what callers send and get."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field as Described
from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint
from sqlmodel import Field

from chassis.db import enum_column, instant_column
from chassis.fields import Input, Name, Readable, UtcDatetime
from services.assets.asset.rules import AssetKind, AssetState
from services.assets.db import Table

MOST_CAMPAIGNS = 50


class Asset(Table, table=True):
    """The bytes aren't here: they lie in the object store under the workspace and their SHA-256."""

    __table_args__ = (
        CheckConstraint("size > 0", name="size"),
        Index(None, "workspace_id", "kind", "id"),
        *(Index(None, "workspace_id", each, "id") for each in ("title", "created_at", "state", "sha256")),
    )

    title: str
    kind: AssetKind = Field(sa_column=enum_column(AssetKind, "kind"))
    state: AssetState = Field(sa_column=enum_column(AssetState, "state"))
    filename: str
    media_type: str
    size: int = Field(sa_type=BigInteger)
    sha256: str
    created_by: str
    created_at: datetime = Field(sa_column=instant_column("created_at"))


class AssetCampaign(Table, table=True):
    """That an asset belongs to a campaign: another service's key, and no more."""

    __tablename__ = "asset_campaign"
    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "asset_id"], ["asset.workspace_id", "asset.id"]),
        UniqueConstraint("workspace_id", "asset_id", "campaign_id"),
        Index(None, "workspace_id", "campaign_id", "asset_id"),
    )

    asset_id: UUID
    campaign_id: UUID


class AssetCreate(Input):
    """What is sent beside the file."""

    title: Name = Field(schema_extra={"examples": ["Spring logo"]})
    kind: AssetKind
    campaign_id: Annotated[
        list[UUID], Described(max_length=MOST_CAMPAIGNS, description="Campaigns that it belongs to, repeated.")
    ] = []


class AssetRead(Readable):
    """An asset: something made for campaigns, with its bytes behind `content_url`."""

    id: UUID
    title: str
    kind: AssetKind
    campaign_ids: list[UUID]
    filename: str
    media_type: str = Described(description="By the bytes, not the name.", examples=["image/png"])
    size: int = Described(description="Bytes.", examples=[48213])
    sha256: str = Described(description="Of the bytes, in hex.")
    state: AssetState
    content_url: str = Described(description="Where the bytes are; same URL, same bytes.")
    created_at: UtcDatetime
