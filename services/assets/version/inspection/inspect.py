"""Decides what an uploaded file is and whether it may stay: dangerous ones are refused by name of the danger."""

import re
from dataclasses import dataclass
from typing import BinaryIO

from services.assets.version.inspection.archive import check_archive, directory_of
from services.assets.version.inspection.danger import refuse, refuse_programs
from services.assets.version.inspection.documents import check_ole, check_pdf
from services.assets.version.inspection.images import refuse_trailing, size_of
from services.assets.version.inspection.media import OLE, PDF, SVG, ZIP, media_type_of
from services.assets.version.inspection.source import Source
from services.assets.version.inspection.svg import check_svg

_MARKUP = re.compile(rb"<\s*(script|html|!doctype\s+html|iframe|body|svg[\s/>])|<\?php", re.IGNORECASE)
# A magic word becomes a variable when a sign of assignment stands where a size is, and a script's text behind it.
_ASSIGNED = re.compile(rb".{4}(.{2})?=\s*(/\*|[\t\r\n -~]{24})", re.DOTALL)
# Where readers of PDF still look for its beginning.
PDF_REACH = 1024


@dataclass(frozen=True)
class Media:
    """What a file is: its media type, and for images their width and height in pixels."""

    media_type: str
    width: int | None = None
    height: int | None = None


def inspect(file: BinaryIO) -> Media:
    """Looks at a file's ends and at what they point to; only documents and SVG are read whole. Invalid, with a code
    that names the danger, when it may not stay."""
    source = Source(file)
    refuse_programs(source.head)
    media_type = media_type_of(source)
    size = None
    if media_type == ZIP:
        media_type = check_archive(source)
    elif directory_of(source) is not None:
        refuse("polyglot", "the file is a zip archive too")
    if media_type == PDF:
        check_pdf(source)
    elif b"%PDF-" in source.head[:PDF_REACH]:
        refuse("polyglot", "the file is a PDF too")
    if media_type == OLE:
        media_type = check_ole(source)
    elif media_type == SVG:
        size = check_svg(source)
    elif media_type.startswith(("image/", "audio/", "video/", "font/")):
        _refuse_second_language(source)
        refuse_trailing(source, media_type)
        size = size_of(source, media_type)
    return Media(media_type, *size) if size else Media(media_type)


def _refuse_second_language(source: Source) -> None:
    """Refuses pictures, sounds and films that are a page or a script too."""
    if source.holds(_MARKUP):
        refuse("polyglot", "the file holds a page's or a script's words")
    # A comment that begins where a size stands, and ends further on, makes all before the end invisible to a script.
    opens = any(source.head[place : place + 2] == b"/*" for place in (2, 4, 6))
    if (opens and (b"*/" in source.head or b"*/" in source.tail)) or _ASSIGNED.match(source.head):
        refuse("polyglot", "the file is a script too")
