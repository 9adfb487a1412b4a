"""Decides which zip archives are let in, office files among them, and what each of them is."""

import re
import struct
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from services.assets.version.inspection.danger import refuse, refuse_programs
from services.assets.version.inspection.media import ZIP
from services.assets.version.inspection.source import STEP, Source

MOST_ENTRIES = 10_000
LARGEST_DIRECTORY = 8 * 1024 * 1024
# Office files shrink to a twentieth; a bomb to a thousandth.
MOST_RATIO = 100
# What an archive may always unpack to, whatever its ratio; so much is unpacked to see whether its directory is honest.
SMALL = 64 * 1024 * 1024
DEEPEST = 2

_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_END_MARK, _END_64_MARK, _LOCATOR_MARK, _ENTRY_MARK, _LOCAL_MARK = (
    b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x01\x02", b"PK\x03\x04",
)  # fmt: skip
_ONES = 0xFFFFFFFF

_OOXML = {
    "word/document.xml": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xl/workbook.xml": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xl/workbook.bin": "application/vnd.ms-excel.sheet.binary.macroenabled.12",
    "ppt/presentation.xml": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}
_SELF_NAMED = re.compile(r"application/(vnd\.oasis\.opendocument\.[a-z-]+|epub\+zip|vnd\.adobe\.indesign-idml-package)")
_MACROS = re.compile(r"(^|/)(vbaproject\.bin|macrosheets/.*|activex/.*|basic/.*|scripts/.*)$", re.IGNORECASE)
_PROGRAM = re.compile(r"^(androidmanifest\.xml|.*\.class)$", re.IGNORECASE)
_FETCHED_TEMPLATE = re.compile(
    rb'attachedTemplate"[^>]*TargetMode="External"|TargetMode="External"[^>]*attachedTemplate"'
)
_TEMPLATE_PLACE = "word/_rels/settings.xml.rels"


@dataclass(frozen=True)
class Directory:
    """Where an archive's list of entries is: offset, bytes, number of entries, where the archive ends."""

    offset: int
    size: int
    entries: int
    end: int


def directory_of(source: Source) -> Directory | None:
    """The list of entries that whoever reads the file from its end as a zip would find; None when there is none."""
    begin = max(0, source.size - len(source.tail))
    place = source.tail.rfind(_END_MARK)
    if place < 0 or place + _END.size > len(source.tail):
        return None
    _, _, _, _, entries, size, _, comment = _END.unpack_from(source.tail, place)
    end = begin + place
    at = end
    if size == _ONES or entries == 0xFFFF:
        locator = source.at(end - 20, 20)
        if locator[:4] == _LOCATOR_MARK:
            at = int.from_bytes(locator[8:16], "little")
            record = source.at(at, _END_64.size)
            if len(record) == _END_64.size and record[:4] == _END_64_MARK:
                _, _, _, _, _, _, _, entries, size, _ = _END_64.unpack(record)
    offset = at - size
    if offset < 0 or (entries and source.at(offset, 4) != _ENTRY_MARK):
        return None
    return Directory(offset, size, entries, end + _END.size + comment)


def check_archive(source: Source, depth: int = 0) -> str:
    """The media type of a zip file. Refuses bombs, macros, programs, and what can't be looked into."""
    found = directory_of(source)
    if found is None:
        refuse("unreadable", "the archive has no list of what is in it")
    if found.entries > MOST_ENTRIES or found.size > LARGEST_DIRECTORY:
        refuse("bomb", f"the archive has more than {MOST_ENTRIES} entries")
    if found.end != source.size:
        refuse("hidden_data", "something follows the end of the archive")
    source.file.seek(0)
    try:
        with zipfile.ZipFile(source.file) as archive:
            return _check_entries(archive, source.size, depth)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, struct.error, OverflowError, NotImplementedError):
        refuse("unreadable", "the archive isn't what its list of entries says")


def _check_entries(archive: zipfile.ZipFile, size: int, depth: int) -> str:
    entries = archive.infolist()
    if any(each.flag_bits & 1 for each in entries):
        refuse("encrypted", "the archive has a password, so nobody can say what is in it")
    if any(each.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for each in entries):
        refuse("unreadable", "the archive is packed in a way that isn't looked into")
    if entries and min(each.header_offset for each in entries) > 0:
        refuse("polyglot", "something stands before the beginning of the archive")
    unpacked, packed = sum(each.file_size for each in entries), sum(each.compress_size for each in entries)
    if packed > size:
        refuse("bomb", "the archive's entries lie over each other")
    if unpacked > SMALL and unpacked > MOST_RATIO * size:
        refuse("bomb", f"the archive unpacks to {unpacked} bytes, more than {MOST_RATIO} times its size")
    # Whatever is larger packed than unpacked is longer than it says.
    if any(each.file_size < each.compress_size - 64 - each.compress_size // 1000 for each in entries):
        refuse("bomb", "the archive has entries that are longer than they say")
    names = {each.filename for each in entries}
    if any(name.startswith("/") or ".." in name.split("/") or "\\" in name for name in names):
        refuse("unsafe_path", "the archive would write outside the folder that it is unpacked in")
    if any(_PROGRAM.match(name) for name in names):
        refuse("executable", "the archive is a program")
    media_type = _type_of(archive, names)
    if media_type != ZIP and any(_MACROS.search(name) for name in names):
        refuse("macros", "the file has macros; save it without them")
    if _TEMPLATE_PLACE in names and _FETCHED_TEMPLATE.search(_read(archive, _TEMPLATE_PLACE)):
        refuse("external_reference", "the file fetches its template from elsewhere when it is opened")
    if unpacked <= SMALL and archive.testzip() is not None:
        refuse("bomb", "the archive has entries that aren't what they say")
    for each in entries:
        if not each.is_dir():
            with archive.open(each) as file:
                _check_entry(file, each, depth)  # type: ignore[arg-type]  # ZipExtFile reads as any binary file does
    return media_type


def _check_entry(file: BinaryIO, entry: zipfile.ZipInfo, depth: int) -> None:
    head = file.read(1024)
    refuse_programs(head)
    if not head.startswith(_LOCAL_MARK):
        return
    if depth + 1 >= DEEPEST or entry.file_size > SMALL:
        refuse("nested_archive", f"{entry.filename[:100]} is an archive in an archive; send it by itself")
    with tempfile.SpooledTemporaryFile(max_size=STEP) as copy:
        copy.write(head)
        while block := file.read(STEP):
            copy.write(block)
        check_archive(Source(copy), depth + 1)  # type: ignore[arg-type]  # so does a spooled file


def _type_of(archive: zipfile.ZipFile, names: set[str]) -> str:
    if "[Content_Types].xml" in names:
        for place, media_type in _OOXML.items():
            if place in names:
                return media_type
    if "mimetype" in names:
        said = _read(archive, "mimetype").decode("ascii", "replace").strip()
        if _SELF_NAMED.fullmatch(said):
            return said
    return ZIP


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        return file.read(STEP)
