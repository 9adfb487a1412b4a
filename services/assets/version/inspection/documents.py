"""Decides which PDFs and older office files are let in: what they would run or fetch when opened is refused."""

import re
import zlib

from services.assets.version.inspection.danger import refuse
from services.assets.version.inspection.source import Source

# Every byte of a document is looked at; beyond this that would take too long.
LARGEST = 1024 * 1024 * 1024
MOST_UNPACKED = 128 * 1024 * 1024

_ESCAPED = re.compile(rb"#([0-9A-Fa-f]{2})")
_ACTIVE = re.compile(rb"/(JavaScript|Launch|RichMedia|Movie|GoToE)\b")
_ENCRYPTED = re.compile(rb"/Encrypt\b")
_PACKED = re.compile(rb"/ObjStm\b")
_BODY = re.compile(rb"stream\r?\n")


def _utf16(name: str) -> bytes:
    return name.encode("utf-16-le")


_OLE_MACROS = re.compile(re.escape(_utf16("_VBA_PROJECT")))
_OLE_ENCRYPTED = re.compile(re.escape(_utf16("EncryptedPackage")))
_INSTALLER = re.compile(re.escape(b"\x84\x10\x0c\0\0\0\0\0\xc0\0\0\0\0\0\0F"))
_OLE_TYPES = {
    _utf16("WordDocument\0"): "application/msword",
    _utf16("Workbook\0"): "application/vnd.ms-excel",
    _utf16("PowerPoint Document\0"): "application/vnd.ms-powerpoint",
}


def check_pdf(source: Source) -> None:
    """Refuses PDFs that run something, play something, or can't be looked into."""
    _refuse_too_large(source)
    unpacked = 0
    for begin, piece in source.steps():
        names = _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), piece)
        _refuse_active(names)
        if _ENCRYPTED.search(names):
            refuse("encrypted", "the PDF is encrypted, so nobody can say what is in it")
        packed = list(_PACKED.finditer(piece))
        if len(packed) != len(_PACKED.findall(names)):
            refuse("active_content", "the PDF disguises the names of what is in it")
        for each in packed:
            unpacked += _check_packed(source, begin + each.end(), MOST_UNPACKED - unpacked)


def _refuse_active(names: bytes) -> None:
    active = _ACTIVE.search(names)
    if active:
        refuse("active_content", f"the PDF would run something when it is opened ({active[1].decode()})")


def _check_packed(source: Source, offset: int, most: int) -> int:
    """Looks into objects that are packed together; says how many bytes they unpacked to."""
    around = source.at(offset, 2048)
    body = _BODY.search(around)
    if body is None:
        return 0
    position, unpacked, kept = offset + body.end(), 0, b""
    inflate = zlib.decompressobj()
    try:
        while not inflate.eof:
            block = inflate.unconsumed_tail or source.at(position, 64 * 1024)
            if not inflate.unconsumed_tail:
                position += len(block)
            if not block:
                break
            piece = inflate.decompress(block, 1024 * 1024)
            unpacked += len(piece)
            if unpacked > most:
                refuse("bomb", f"the PDF unpacks to more than {MOST_UNPACKED} bytes")
            _refuse_active(_ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), kept + piece))
            kept = piece[-256:]
    except zlib.error:
        refuse("unreadable", "the PDF has packed parts that can't be unpacked")
    return unpacked


def check_ole(source: Source) -> str:
    """The media type of an older office file. Refuses macros, installers and what can't be looked into."""
    _refuse_too_large(source)
    media_type = "application/x-ole-storage"
    for _, piece in source.steps():
        if _INSTALLER.search(piece):
            refuse("executable", "the file is an installer")
        if _OLE_MACROS.search(piece):
            refuse("macros", "the file has macros; save it without them")
        if _OLE_ENCRYPTED.search(piece):
            refuse("encrypted", "the file has a password, so nobody can say what is in it")
        media_type = next((kind for name, kind in _OLE_TYPES.items() if name in piece), media_type)
    return media_type


def _refuse_too_large(source: Source) -> None:
    if source.size > LARGEST:
        refuse("too_large_to_check", f"a document has {LARGEST} bytes at most")
