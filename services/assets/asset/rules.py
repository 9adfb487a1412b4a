"""Decides what assets are, which steps lead from draft to published, and who may not take them."""

from collections.abc import Iterable
from enum import StrEnum
from uuid import UUID

from chassis.errors import Conflict, Forbidden, Invalid


class AssetKind(StrEnum):
    LOGO = "logo"
    DESIGN = "design"
    DOCUMENT = "document"
    BLOG_POST = "blog_post"
    PHOTO = "photo"
    VIDEO = "video"
    AUDIO = "audio"
    EMAIL_TEMPLATE = "email_template"
    LANDING_PAGE = "landing_page"
    AD = "ad"
    CONTENT_OFFER = "content_offer"
    SALES_ENABLEMENT = "sales_enablement"
    MESSAGE = "message"


class AssetState(StrEnum):
    DRAFT = "draft"
    IN_REVIEW = "in_review"
    APPROVED = "approved"
    PUBLISHED = "published"
    ARCHIVED = "archived"


class AssetAction(StrEnum):
    """What moves an asset on. `replace`: a new version came, which nobody has looked at yet."""

    SUBMIT = "submit"
    APPROVE = "approve"
    SEND_BACK = "send_back"
    PUBLISH = "publish"
    ARCHIVE = "archive"
    RESTORE = "restore"
    REPLACE = "replace"


_ALIVE = frozenset(AssetState) - {AssetState.ARCHIVED}
_STEPS: dict[AssetAction, tuple[frozenset[AssetState], AssetState]] = {
    AssetAction.SUBMIT: (frozenset({AssetState.DRAFT}), AssetState.IN_REVIEW),
    AssetAction.APPROVE: (frozenset({AssetState.IN_REVIEW}), AssetState.APPROVED),
    AssetAction.SEND_BACK: (frozenset({AssetState.IN_REVIEW, AssetState.APPROVED}), AssetState.DRAFT),
    AssetAction.PUBLISH: (frozenset({AssetState.APPROVED}), AssetState.PUBLISHED),
    AssetAction.ARCHIVE: (_ALIVE, AssetState.ARCHIVED),
    AssetAction.RESTORE: (frozenset({AssetState.ARCHIVED}), AssetState.DRAFT),
    AssetAction.REPLACE: (_ALIVE, AssetState.DRAFT),
}


def next_state(state: AssetState, action: AssetAction) -> AssetState:
    """Where a step leads; Conflict when it can't be taken from here."""
    begins, ends = _STEPS[action]
    if state not in begins:
        allowed = " or ".join(each for each in AssetState if each in begins)
        raise Conflict(f"the asset is {state}; {action} takes one that is {allowed}", code="wrong_state")
    return ends


def refuse_own(uploader: str, subject: str) -> None:
    """Nobody approves what they uploaded."""
    if uploader == subject:
        raise Forbidden("you uploaded this version; somebody else has to approve it", code="own_upload")


def duplicates_told(asset_ids: Iterable[UUID]) -> dict[str, str]:
    """A header (RFC 8288, and 6249 for its relation) that names assets whose bytes are the same; none for none."""
    links = ", ".join(f'</v1/assets/{each}>; rel="duplicate"' for each in asset_ids)
    return {"Link": links} if links else {}


_TEXT, _PDF, _ZIP = "text/", "application/pdf", "application/zip"
_DRAWN = ("image/", _PDF, "application/postscript", _ZIP)
# What files of a kind are made of, by the beginning of their media type. Kinds that aren't here take anything.
_MADE_OF: dict[AssetKind, tuple[str, ...]] = {
    AssetKind.LOGO: _DRAWN,
    AssetKind.PHOTO: ("image/",),
    AssetKind.VIDEO: ("video/", "application/ogg"),
    AssetKind.AUDIO: ("audio/", "application/ogg"),
    AssetKind.MESSAGE: (_TEXT,),
    AssetKind.EMAIL_TEMPLATE: (_TEXT, _ZIP),
    AssetKind.LANDING_PAGE: (_TEXT, _ZIP),
}
# What is itself a page, or the text of one.
_PAGES = {AssetKind.EMAIL_TEMPLATE, AssetKind.LANDING_PAGE, AssetKind.BLOG_POST, AssetKind.AD}
_UNKNOWN = "application/octet-stream"


def fits_kind(kind: AssetKind, media_type: str) -> bool | None:
    """Whether a file of this media type can be a photo, a video, ...; None where the bytes don't tell."""
    made_of = _MADE_OF.get(kind)
    return None if media_type == _UNKNOWN else made_of is None or media_type.startswith(made_of)


def refuse_misfit(kind: AssetKind, media_type: str) -> None:
    """A draft may be anything; what is laid before others is what it is said to be."""
    if fits_kind(kind, media_type) is False:
        raise Conflict(f"a file of type {media_type} is no {kind}; change its kind or its file", code="wrong_kind")


def refuse_page(kind: AssetKind, media_type: str) -> None:
    """HTML is kept, as text that nothing runs, for kinds that are made of it; elsewhere it is a trap."""
    if media_type == "text/html" and kind not in _PAGES:
        pages = ", ".join(sorted(_PAGES))
        raise Invalid.field("file", f"the file is a web page; only {pages} may be", "markup")
