"""Decides what assets are, what their bytes say they are, and under which name and headers they leave."""

import unicodedata
from enum import StrEnum
from pathlib import PurePosixPath
from urllib.parse import quote

LONGEST_FILENAME = 200


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


# Controls, halves of pairs, line and paragraph ends; and what turns text around, by which exe looks like a jpg.
_UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}
_TURNING = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean_filename(sent: str) -> str:
    """The last component of what a caller called a file, without what can't be seen, at most 200 characters with its
    ending kept; `file` when nothing is left."""
    last = sent.replace("\\", "/").rpartition("/")[2]
    seen = "".join(each for each in last if unicodedata.category(each) not in _UNPRINTABLE and each not in _TURNING)
    name = seen.strip(" .") or "file"
    if len(name) > LONGEST_FILENAME:
        ending = PurePosixPath(name).suffix[:20]
        name = name[: LONGEST_FILENAME - len(ending)] + ending
    return name


# Offset, the bytes there, and what then begins; the first that fits decides.
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftypqt", "video/quicktime"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"OggS", "application/ogg"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"8BPS", "image/vnd.adobe.photoshop"),
)
HEAD = 512


def media_type_of(head: bytes) -> str:
    """What a file is by its first 512 bytes, whatever its name. Markup is plain text, which no browser runs."""
    for offset, signature, media_type in _SIGNATURES:
        if head.startswith(signature, offset):
            return media_type
    try:
        # The cut may go through a character: its at most three bytes are let go.
        text = head.decode("utf-8") if len(head) < HEAD else _decoded(head)
    except UnicodeDecodeError:
        return "application/octet-stream"
    plain = all(each in "\t\n\r\f" or unicodedata.category(each) != "Cc" for each in text)
    return "text/plain; charset=utf-8" if plain else "application/octet-stream"


def _decoded(head: bytes) -> str:
    try:
        return head.decode("utf-8")
    except UnicodeDecodeError as cut:
        if cut.end == len(head) and len(head) - cut.start < 4:
            return head[: cut.start].decode("utf-8")
        raise


def content_headers(filename: str, sha256: str) -> dict[str, str]:
    """What leaves with a file's bytes. They are kept for ever, saved and never shown, and run nothing anywhere."""
    # RFC 6266: plain ASCII for old readers, RFC 8187 for all others.
    plain = filename.encode("ascii", "replace").decode().replace("\\", "_").replace('"', "_").replace("%", "_")
    return {
        "ETag": f'"{sha256}"',
        "Cache-Control": "private, max-age=31536000, immutable",
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }


def is_fresh(if_none_match: str, sha256: str) -> bool:
    """Whether a caller who sends this If-None-Match has the bytes already."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or f'"{sha256}"' in tags
