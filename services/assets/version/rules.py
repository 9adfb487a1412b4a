"""Decides under which name and headers bytes leave, and who has them already."""

import unicodedata
from pathlib import PurePosixPath
from urllib.parse import quote
from uuid import UUID

LONGEST_FILENAME = 200

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


def served_as(media_type: str) -> str:
    """The Content-Type that bytes leave with. Text is UTF-8, and pages are text: nothing runs them."""
    return "text/plain; charset=utf-8" if media_type.startswith("text/") else media_type


def content_headers(filename: str, sha256: str, media_type: str) -> dict[str, str]:
    """What leaves with a file's bytes. They are kept for ever, saved and never shown, and run nothing anywhere."""
    # RFC 6266: plain ASCII for old readers, RFC 8187 for all others.
    plain = filename.encode("ascii", "replace").decode().replace("\\", "_").replace('"', "_").replace("%", "_")
    return {
        "Accept-Ranges": "bytes",
        "ETag": f'"{sha256}"',
        "Cache-Control": "private, max-age=31536000, immutable",
        "Content-Type": served_as(media_type),
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }


def is_fresh(if_none_match: str, sha256: str) -> bool:
    """Whether a caller who sends this If-None-Match has the bytes already."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or f'"{sha256}"' in tags


def range_holds(if_range: str, sha256: str) -> bool:
    """Whether a caller's If-Range allows a part: only for the very same bytes, and a date never says that they are."""
    return not if_range or if_range.strip() == f'"{sha256}"'


def content_path(asset_id: UUID, number: int) -> str:
    """Where a version's bytes are, for ever. The first has the short address, which a second never takes over."""
    return f"/v1/assets/{asset_id}/content" if number == 1 else f"/v1/assets/{asset_id}/versions/{number}/content"
