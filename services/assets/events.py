"""Decides what assets tells others, and what it does when it hears of something."""

from collections.abc import Mapping
from typing import ClassVar
from uuid import UUID

from chassis.inbox import Handler
from chassis.outbox import Event


class AssetEvent(Event):
    """What every event of an asset says: which version it is about, and where it belongs."""

    asset_id: UUID
    kind: str
    campaign_ids: list[UUID]
    version_number: int
    sha256: str


class AssetCreated(AssetEvent):
    """A file was uploaded as a draft."""

    type: ClassVar[str] = "assets.asset.created"


class AssetReplaced(AssetEvent):
    """A new version was uploaded; what others use of the asset may be out of date."""

    type: ClassVar[str] = "assets.asset.replaced"


class AssetSubmitted(AssetEvent):
    """Somebody is asked to approve it."""

    type: ClassVar[str] = "assets.asset.submitted"


class AssetApproved(AssetEvent):
    """Somebody other than its uploader approved it."""

    type: ClassVar[str] = "assets.asset.approved"


class AssetSentBack(AssetEvent):
    """It isn't approved, and `reason` says why."""

    type: ClassVar[str] = "assets.asset.sent_back"
    reason: str


class AssetPublished(AssetEvent):
    """This version is out."""

    type: ClassVar[str] = "assets.asset.published"


class AssetArchived(AssetEvent):
    """It is to be used no more."""

    type: ClassVar[str] = "assets.asset.archived"


class AssetRestored(AssetEvent):
    """It is a draft again after it was archived."""

    type: ClassVar[str] = "assets.asset.restored"


PUBLISHES: tuple[type[Event], ...] = (
    AssetCreated, AssetReplaced, AssetSubmitted, AssetApproved, AssetSentBack, AssetPublished, AssetArchived,
    AssetRestored,
)  # fmt: skip
CONSUMES: Mapping[str, Handler] = {}
