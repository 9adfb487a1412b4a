"""Decides what an asset is made of: its rows, and what callers send and get."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field as Described
from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint
from sqlmodel import Field

from chassis.audit import UNAUDITED
from chassis.db import enum_column, instant_column
from chassis.editing import Editable, Patch
from chassis.fields import Input, Name, Readable, UtcDatetime
from services.assets.asset.rules import AssetAction, AssetKind, AssetState, fits_kind
from services.assets.db import Table

MOST_CAMPAIGNS = 50


class Asset(Table, Editable, table=True):
    """What its current version is, too: the table itself writes a row of `asset_version` whenever `current_version`
    moves. The bytes lie in the object store under the workspace and their SHA-256."""

    __table_args__ = (
        CheckConstraint("size > 0", name="size"),
        Index(None, "workspace_id", "kind", "id"),
        Index(None, "workspace_id", "state", "id"),
        Index(None, "workspace_id", "media_type", "id"),
        Index(None, "workspace_id", "sha256", "id"),
        Index(None, "workspace_id", "title", "id"),
        Index(None, "workspace_id", "created_at", "id"),
    )

    title: str
    kind: AssetKind = Field(sa_column=enum_column(AssetKind, "kind"))
    state: AssetState = Field(sa_column=enum_column(AssetState, "state"))
    filename: str
    media_type: str
    size: int = Field(sa_type=BigInteger)
    sha256: str
    width: int | None = None
    height: int | None = None
    current_version: int = Field(1, sa_column_kwargs={"server_default": "1"})
    published_version: int | None = None
    uploaded_by: str | None = None
    uploaded_at: datetime | None = Field(None, sa_column=instant_column("uploaded_at", nullable=True))
    created_by: str
    created_at: datetime = Field(sa_column=instant_column("created_at"))

    def told(self, campaign_ids: Sequence[UUID]) -> dict[str, Any]:
        """What every event of it says."""
        return {
            "asset_id": self.id, "kind": self.kind, "campaign_ids": campaign_ids,
            "version_number": self.current_version, "sha256": self.sha256,
        }  # fmt: skip

    @property
    def uploader(self) -> str:
        return self.uploaded_by or self.created_by

    @property
    def fits_kind(self) -> bool | None:
        return fits_kind(self.kind, self.media_type)


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


class AssetStep(Table, table=True):
    """One step of an asset's way, written once."""

    __tablename__ = "asset_step"
    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "asset_id"], ["asset.workspace_id", "asset.id"]),
        Index(None, "workspace_id", "asset_id", "id"),
        {"info": UNAUDITED},
    )

    asset_id: UUID
    action: AssetAction = Field(sa_column=enum_column(AssetAction, "action"))
    from_state: AssetState = Field(sa_column=enum_column(AssetState, "from_state"))
    to_state: AssetState = Field(sa_column=enum_column(AssetState, "to_state"))
    version_number: int
    reason: str
    taken_by: str
    taken_at: datetime = Field(sa_column=instant_column("taken_at"))


class AssetCreate(Input):
    """What is sent beside the file."""

    title: Name = Field(schema_extra={"examples": ["Spring logo"]})
    kind: AssetKind
    campaign_id: Annotated[
        list[UUID], Described(max_length=MOST_CAMPAIGNS, description="Campaigns that it belongs to, repeated.")
    ] = []


class AssetDetails(Input):
    """What can be said of an asset, whatever its file."""

    title: Name = Field(schema_extra={"examples": ["Spring logo"]})
    kind: AssetKind
    campaign_ids: Annotated[list[UUID], Described(max_length=MOST_CAMPAIGNS)] = []


class AssetPatch(Patch, of=AssetDetails):
    """What of an asset can be edited."""


class SendBack(Input):
    reason: Annotated[str, Described(min_length=1, max_length=2000, description="What has to change.")]


class AssetRead(Readable):
    """An asset: something made for campaigns. What is said of its file is said of its current version."""

    id: UUID
    title: str
    kind: AssetKind
    campaign_ids: list[UUID]
    state: AssetState
    current_version: int = Described(description="1, 2, ...: which of its versions this is.")
    published_version: int | None = Described(description="The version that was last published; null when none is out.")
    filename: str
    media_type: str = Described(description="By the bytes, not the name.", examples=["image/png"])
    fits_kind: bool | None = Described(
        description="Whether a file of this media type can be of this kind; null where the bytes don't tell."
    )
    size: int = Described(description="Bytes.", examples=[48213])
    sha256: str = Described(description="Of the bytes, in hex.")
    width: int | None = Described(description="Pixels, of images.")
    height: int | None = Described(description="Pixels, of images.")
    content_url: str = Described(description="Where the bytes are; same URL, same bytes, for ever.")
    uploaded_by: str
    uploaded_at: UtcDatetime
    created_at: UtcDatetime
    version: int = Described(description="Rises with every change; send it as If-Match.")


class AssetStepRead(Readable):
    """A step of an asset's way from draft to published: who took it, when, with which version."""

    id: UUID
    asset_id: UUID
    action: AssetAction
    from_state: AssetState
    to_state: AssetState
    version_number: int
    reason: str = Described(description="Why it was sent back; empty for other steps.")
    taken_by: str
    taken_at: UtcDatetime
