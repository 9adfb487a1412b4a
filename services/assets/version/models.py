"""Decides what a version of an asset is made of."""

from datetime import datetime
from uuid import UUID

from pydantic import Field as Described
from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, UniqueConstraint
from sqlmodel import Field

from chassis.db import instant_column
from chassis.fields import Readable, UtcDatetime
from services.assets.db import Table


class AssetVersion(Table, table=True):
    """Written by a trigger of `asset` and never changed: what the service's role may do here is read."""

    __tablename__ = "asset_version"
    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "asset_id"], ["asset.workspace_id", "asset.id"]),
        UniqueConstraint("workspace_id", "asset_id", "number"),
        Index(None, "workspace_id", "asset_id", "id"),
        Index(None, "workspace_id", "sha256", "id"),
    )

    asset_id: UUID
    number: int
    filename: str
    media_type: str
    size: int = Field(sa_type=BigInteger)
    sha256: str
    width: int | None
    height: int | None
    uploaded_by: str
    uploaded_at: datetime = Field(sa_column=instant_column("uploaded_at"))


class AssetVersionRead(Readable):
    """A version of an asset: bytes that never change, behind `content_url`."""

    id: UUID
    asset_id: UUID
    number: int = Described(description="1, 2, ... within its asset.")
    filename: str
    media_type: str = Described(description="By the bytes, not the name.", examples=["image/png"])
    size: int = Described(description="Bytes.", examples=[48213])
    sha256: str = Described(description="Of the bytes, in hex.")
    width: int | None = Described(description="Pixels, of images.")
    height: int | None = Described(description="Pixels, of images.")
    content_url: str = Described(description="Where the bytes are; same URL, same bytes, for ever.")
    uploaded_by: str
    uploaded_at: UtcDatetime
