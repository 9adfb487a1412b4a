"""Decides what a file is by its bytes, never by its name or by what its sender calls it."""

import re
import unicodedata

from services.assets.version.inspection.source import Source

UNKNOWN = "application/octet-stream"
TEXT, HTML, SVG, PDF, ZIP = "text/plain", "text/html", "image/svg+xml", "application/pdf", "application/zip"
OLE = "application/x-ole-storage"

# Offset, the bytes there, and what then begins; the first that fits decides.
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"8BPS", "image/vnd.adobe.photoshop"),
    (0, b"\0\0\1\0", "image/x-icon"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "image/jp2"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "image/jxl"),
    (0, b"\xff\x0a", "image/jxl"),
    (0, b"%PDF-", PDF),
    (0, b"%!PS", "application/postscript"),
    (0, b"\xc5\xd0\xd3\xc6", "application/postscript"),
    (0, b"PK\x03\x04", ZIP),
    (0, b"PK\x05\x06", ZIP),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"FLV\x01", "video/x-flv"),
    (0, b"\0\0\1\xba", "video/mpeg"),
    (0, b"\0\0\1\xb3", "video/mpeg"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "video/x-ms-asf"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"OggS", "application/ogg"),
    (0, b"MThd", "audio/midi"),
    (0, b"wOFF", "font/woff"),
    (0, b"wOF2", "font/woff2"),
    (0, b"OTTO\0", "font/otf"),
    (0, b"\0\1\0\0\0", "font/ttf"),
    (0, b"true\0", "font/ttf"),
    (0, b"ttcf\0", "font/collection"),
    (0, b"\x1f\x8b\x08", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\0", "application/x-xz"),
    (0, b"(\xb5/\xfd", "application/zstd"),
    (0, b"7z\xbc\xaf'\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (257, b"ustar", "application/x-tar"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_FORM = {b"AIFF": "audio/aiff", b"AIFC": "audio/aiff"}
# The brand of an ISO base media file: one frame for all that came of QuickTime.
_BRANDS = {
    b"avif": "image/avif", b"avis": "image/avif", b"heic": "image/heic", b"heix": "image/heic", b"hevc": "image/heic",
    b"mif1": "image/heif", b"msf1": "image/heif", b"M4A ": "audio/mp4", b"M4B ": "audio/mp4",
    b"qt  ": "video/quicktime",
}  # fmt: skip
_MPEG_AUDIO = re.compile(rb"\xff[\xe2\xe3\xf2-\xf5\xfa-\xfd][\x10-\xef]", re.DOTALL)
_BITMAP = re.compile(rb"BM.{4}\0\0\0\0.{4}[\x0c\x28\x38\x40\x6c\x7c]\0\0\0", re.DOTALL)
_PREAMBLE = re.compile(r"\s*(<\?xml[^>]*\?>|<!--.*?-->|<!DOCTYPE[^<>\[]*(\[.*?\]\s*)?>)", re.DOTALL | re.IGNORECASE)
_ROOT = re.compile(r"\s*<(?:[\w.-]+:)?([\w-]+)[\s/>]", re.DOTALL)
_HTML_TYPE = re.compile(r"\s*<!DOCTYPE\s+html", re.IGNORECASE)
# What browsers take for the beginning of a page, and XHTML however its elements are called.
_HTML_ELEMENTS = {
    "html", "head", "body", "script", "iframe", "h1", "div", "font", "table", "a", "style", "title", "b", "br", "p",
    "meta", "link", "base", "form", "img", "object", "embed", "center", "span", "section", "main", "article", "mjml",
}  # fmt: skip
_XHTML = "http://www.w3.org/1999/xhtml"
# Enough to tell text from what isn't.
TEXT_HEAD = 64 * 1024


def media_type_of(source: Source) -> str:
    """What a file is. Text in whatever notation is `text/plain`, except HTML and SVG, which something could run."""
    head = source.head
    for offset, signature, media_type in _SIGNATURES:
        if head.startswith(signature, offset):
            return media_type
    if head.startswith(b"RIFF") and head[8:12] in _RIFF:
        return _RIFF[head[8:12]]
    if head.startswith(b"FORM") and head[8:12] in _FORM:
        return _FORM[head[8:12]]
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if _BITMAP.match(head):
        return "image/bmp"
    if _MPEG_AUDIO.match(head):
        return "audio/mpeg"
    text = _text_of(head[:TEXT_HEAD], whole=source.size <= TEXT_HEAD)
    return UNKNOWN if text is None else _type_of_text(text)


def _type_of_text(text: str) -> str:
    if _HTML_TYPE.match(text):
        return HTML
    while preamble := _PREAMBLE.match(text):
        if _HTML_TYPE.match(preamble[0]):
            return HTML
        text = text[preamble.end() :]
    root = _ROOT.match(text)
    if root is None:
        return TEXT
    if root[1].lower() == "svg":
        return SVG
    return HTML if root[1].lower() in _HTML_ELEMENTS or _XHTML in text else TEXT


def _text_of(head: bytes, whole: bool) -> str | None:
    """The beginning of a text in UTF-8, or in UTF-16 that says so; None for anything else."""
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = head.decode(encoding)
    except UnicodeDecodeError as broken:
        # A cut may go through a character: its at most three bytes are let go.
        if whole or len(head) - broken.start > 3:
            return None
        text = head[: broken.start].decode(encoding)
    plain = all(each in "\t\n\r\f\x1b" or unicodedata.category(each) != "Cc" for each in text)
    return text if plain else None
