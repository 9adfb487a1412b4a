"""What a file is by its bytes, and which files may not stay."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import Invalid
from services.assets.version.inspection.images import MOST_PIXELS
from services.assets.version.inspection.inspect import Media, inspect
from services.assets.version.inspection.media import TEXT_HEAD

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="{}" height="20">{}</svg>'


def look(content: bytes) -> Media:
    return inspect(io.BytesIO(content))


def danger(content: bytes) -> str:
    with pytest.raises(Invalid) as refused:
        look(content)
    (error,) = refused.value.errors
    assert error.field == "file"
    return error.code


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int = 3, height: int = 2, text: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0\0\0\0" * 2)
    extra = chunk(b"tEXt", text) if text else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def gif(width: int = 3, height: int = 2) -> bytes:
    picture = b"\x2c\0\0\0\0" + struct.pack("<HH", width, height) + b"\0\2\2D\1\0"
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff" + picture + b"\x3b"


def jpeg(width: int = 3, height: int = 2) -> bytes:
    return (
        b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
        + b"\xff\xc0\0\x0b\x08"
        + struct.pack(">HH", height, width)
        + b"\1\1\x11\0\xff\xda\0\x08\1\1\0\0\x3f\0\x55\xff\xd9"
    )


def webp(width: int = 3, height: int = 2) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + sides
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff(width: int = 3, height: int = 2) -> bytes:
    entries = struct.pack("<HHIHH", 256, 3, 1, width, 0) + struct.pack("<HHII", 257, 4, 1, height)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + b"\0\0\0\0"


def zipped(*entries: tuple[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", how) as archive:
        for name, content in entries:
            # With a day of its own: the same bytes whenever it is made.
            archive.writestr(zipfile.ZipInfo(name), content, how)
    return made.getvalue()


def office(main: str, *more: tuple[str, bytes]) -> bytes:
    return zipped(("[Content_Types].xml", b"<Types/>"), (main, b"<document/>"), *more)


def pdf(body: bytes = b"") -> bytes:
    return b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n" + body + b"\n%%EOF\n"


def packed(objects: bytes) -> bytes:
    return pdf(
        b"2 0 obj\n<< /Type /ObjStm /N 1 /Filter /FlateDecode >>\nstream\n" + zlib.compress(objects) + b"\nendstream"
    )


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (png(), "image/png"),
        (jpeg(), "image/jpeg"),
        (gif(), "image/gif"),
        (webp(), "image/webp"),
        (tiff(), "image/tiff"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "image/avif"),
        (b"\0\0\0\x1cftypheic\0\0\0\0", "image/heic"),
        (b"\0\0\0\x18ftypisom\0\0\2\0", "video/mp4"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0", "video/quicktime"),
        (b"\0\0\0\x1cftypM4A \0\0\0\0", "audio/mp4"),
        (b"\x1aE\xdf\xa3\x01", "video/webm"),
        (b"ID3\x04\0\0", "audio/mpeg"),
        (b"\xff\xfb\x90\x64" + bytes(400), "audio/mpeg"),
        (b"fLaC\0\0", "audio/flac"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav"),
        (b"OggS\0\2", "application/ogg"),
        (b"wOF2\0\1\0\0", "font/woff2"),
        (b"OTTO\0\x0c", "font/otf"),
        (b"\0\1\0\0\0\x0c", "font/ttf"),
        (pdf(), "application/pdf"),
        (zipped(("a.txt", b"a")), "application/zip"),
        (office("word/document.xml"), "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        (office("xl/workbook.xml"), "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (office("ppt/presentation.xml"), "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
        (zipped(("mimetype", b"application/epub+zip"), ("a", b"a")), "application/epub+zip"),
        (b"# Title\n\n| a | b |\n", "text/plain"),
        (b"a,b\r\n1,2\r\n", "text/plain"),
        (b'{"a": [1]}', "text/plain"),
        (b"<?xml version='1.0'?><feed/>", "text/plain"),
        ("\ufeffä".encode(), "text/plain"),
        ("ä".encode() * TEXT_HEAD, "text/plain"),
        (b"." + "ä".encode() * TEXT_HEAD, "text/plain"),
        (SVG.format(10, "<path d='M0 0'/>").encode(), "image/svg+xml"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- Made by hand -->\n" + SVG.format(10, "").encode(), "image/svg+xml"),
        (b"<!DOCTYPE HTML><title>a</title>", "text/html"),
        (b" \n<ScRiPt>alert(1)</script>", "text/html"),
        (b"<!-- a --><html>", "text/html"),
        ("<html>".encode("utf-16"), "text/html"),
        (b'<?xml version="1.0"?><x:html xmlns:x="http://www.w3.org/1999/xhtml"/>', "text/html"),
        (b"\xff\xfe\xfd", "application/octet-stream"),
        (b"\0\1\2", "application/octet-stream"),
        (b"MZ is how some texts begin", "text/plain"),
        (b"BM is another", "text/plain"),
    ],
)
def test_what_a_file_is_follows_from_its_bytes(content: bytes, media_type: str) -> None:
    assert look(content).media_type == media_type


@pytest.mark.parametrize("make", [png, jpeg, gif, webp, tiff])
def test_an_image_says_how_large_it_is(make: Callable[[int, int], bytes]) -> None:
    found = look(make(320, 200))
    assert (found.width, found.height) == (320, 200)


@pytest.mark.parametrize("make", [png, jpeg, gif, webp, tiff])
def test_a_broken_image_is_kept_without_a_size(make: Callable[[], bytes]) -> None:
    whole = make()
    for cut in range(12, len(whole)):
        assert look(whole[:cut]).media_type.startswith("image/")


def test_an_svg_says_how_large_it_is() -> None:
    assert look(SVG.format("10px", "").encode()) == Media("image/svg+xml", 10, 20)
    assert look(b'<svg viewBox="0 0 30.2 40"/>') == Media("image/svg+xml", 30, 40)
    assert look(b'<svg width="100%" height="100%"/>') == Media("image/svg+xml")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\x7fELF\2\1\1" + bytes(60), "executable"),
        (b"MZ\x90\0" + bytes(100), "executable"),
        (b"\xcf\xfa\xed\xfe\7\0\0\1", "executable"),
        (b"\xca\xfe\xba\xbe\0\0\0\x34", "executable"),
        (b"\0asm\1\0\0\0", "executable"),
        (b"dex\n035\0", "executable"),
        (b"CWS\x0a\0\0", "executable"),
        (b"L\0\0\0\1\x14\2\0", "executable"),
        (b"#!/bin/sh\nrm -rf /", "script"),
        (b" <?php system($_GET[0]);", "script"),
        (b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-" + b"TEST-FILE!$H+H*", "malware"),
    ],
)
def test_programs_are_refused(content: bytes, code: str) -> None:
    assert danger(content) == code


@pytest.mark.parametrize(
    "content",
    [
        gif() + zipped(("a.class", b"a")),
        png() + zipped(("a", b"a")),
        jpeg() + zipped(("a", b"a")),
        pdf() + zipped(("a", b"a")),
        b"\0\0\0\x18ftypisom" + bytes(90) + zipped(("a", b"a")),
        b"GIF89a/*" + bytes(30) + b"*/=1;alert(1)",
        b"GIF89a=1;alert(document.cookie);/*....",
        b"GIF89a=/*" + bytes(9),
        b"\xff\xd8\xff\xe0/*" + bytes(60) + b"*/=alert(1)",
        jpeg()[:4] + b"<script>alert(1)</script>",
        png(text=b"Comment\0<?php system(1);"),
        jpeg() + b"<html><body>",
        b"RIFF/*..WAVE" + bytes(9) + b"*/=alert(1)",
        gif()[:-1] + b"%PDF-1.4",
        zipped(("a", b"a")) + zipped(("b", b"b")),
    ],
)
def test_a_file_that_is_two_things_is_refused(content: bytes) -> None:
    assert danger(content) == "polyglot"


@pytest.mark.parametrize("make", [png, gif, webp])
def test_nothing_hides_behind_the_end_of_an_image(make: Callable[[], bytes]) -> None:
    assert danger(make() + b"payload") == "hidden_data"
    look(make() + bytes(20) + b"\r\n")


def test_what_cameras_keep_behind_a_picture_is_let_be() -> None:
    look(jpeg() + b"\0\0\0\x18ftypmp42" + bytes(100))


def test_images_that_nobody_could_unpack_are_refused() -> None:
    look(png(MOST_PIXELS // 1000, 1000))
    assert danger(png(MOST_PIXELS // 1000 + 1, 1000)) == "bomb"
    assert danger(webp(16_000, 16_000)) == "bomb"


@pytest.mark.parametrize(
    ("inside", "code"),
    [
        ("<script>alert(1)</script>", "svg_active"),
        ("<x:script xmlns:x='http://www.w3.org/2000/svg'/>", "svg_active"),
        ("<foreignObject><p/></foreignObject>", "svg_active"),
        ("<g onload='alert(1)'/>", "svg_active"),
        ("<set attributeName='xlink:href' to='javascript:alert(1)'/>", "svg_active"),
        ("<a href='javascript:alert(1)'/>", "external_reference"),
        ("<a href=' java&#10;script:a'/>", "external_reference"),
        ("<image href='http://a.example/a.png'/>", "external_reference"),
        ("<use href='a.svg#b'/>", "external_reference"),
        ("<image href='data:image/svg+xml,a'/>", "external_reference"),
        ("<image href='data:text/html,a'/>", "external_reference"),
        ("<style>@import 'a.css'</style>", "external_reference"),
        ("<style>a{fill:u<![CDATA[rl(]]>//a.example)}</style>", "external_reference"),
        ("<g style='fill:url(//a.example)'/>", "external_reference"),
        ("<g fill='u\\72l(//a.example)'/>", "external_reference"),
        ("<?xml-stylesheet href='a.css'?>", "external_reference"),
        ("<g>", "unreadable"),
        ("&nbsp;", "unreadable"),
    ],
)
def test_an_svg_that_runs_or_fetches_is_refused(inside: str, code: str) -> None:
    assert danger(SVG.format(10, inside).encode()) == code


@pytest.mark.parametrize(
    "inside",
    [
        "<a href='https://a.example'><use href='#b'/></a>",
        "<image href='data:image/png;base64,AA=='/>",
        "<g style='fill:url(#b)' fill='url(\"#c\")'/>",
        "<style>.a{fill:red}</style>",
        "<g xmlns:e='urn:e' e:from='C:\\logo.ai'/>",
        "<animate attributeName='x' to='1'/>",
    ],
)
def test_an_svg_that_is_a_picture_is_kept(inside: str) -> None:
    assert look(SVG.format(10, inside).encode()).width == 10


def test_an_svg_s_entities_are_refused_before_they_grow() -> None:
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "ha"}">' for n in range(12))
    assert danger(f"<!DOCTYPE svg [{laughs}]><svg>&a11;</svg>".encode()) == "svg_active"
    assert danger(b'<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]><svg>&a;</svg>') == "svg_active"
    public = b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd"><svg/>'
    assert look(public).media_type == "image/svg+xml"


def test_archives_that_explode_are_refused() -> None:
    assert danger(zipped(("a", bytes(200_000_000)))) == "bomb"
    assert danger(zipped(*((f"{n}", b"") for n in range(10_001)))) == "bomb"
    honest = zipped(("a", bytes(1_000_000)))
    for place in (honest.find(b"PK\1\2") + 24, 22):
        liar = honest[:place] + struct.pack("<I", 5) + honest[place + 4 :]
        assert place == 22 or danger(liar) in ("bomb", "unreadable")


def test_archives_in_archives_are_looked_into_as_deep_as_office_files_need() -> None:
    sheet = office("xl/workbook.xml")
    look(office("ppt/presentation.xml", ("ppt/embeddings/sheet.xlsx", sheet)))
    assert danger(zipped(("a.bin", zipped(("b", zipped(("c", b"c"))))))) == "nested_archive"
    assert danger(zipped(("a.zip", zipped(("b", bytes(100_000_000)))))) == "bomb"
    assert danger(zipped(("a.zip", zipped(("setup", b"\x7fELF"))))) == "executable"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (office("word/document.xml", ("word/vbaProject.bin", b"a")), "macros"),
        (office("xl/workbook.xml", ("xl/macrosheets/sheet1.xml", b"a")), "macros"),
        (office("word/document.xml", ("word/activeX/activeX1.xml", b"a")), "macros"),
        (
            office(
                "word/document.xml",
                (
                    "word/_rels/settings.xml.rels",
                    b'<Relationship Type="http://x/attachedTemplate" Target="http://a/a.dotm" TargetMode="External"/>',
                ),
            ),
            "external_reference",
        ),
        (zipped(("META-INF/MANIFEST.MF", b"a"), ("A.class", b"a")), "executable"),
        (zipped(("a", b"MZ" + bytes(80))), "executable"),
        (zipped(("../../etc/cron.d/a", b"a")), "unsafe_path"),
        (zipped(("a", b"a"))[:-30], "unreadable"),
        (zipped(("a", b"a")) + b"more", "hidden_data"),
        (zipped(("a", b"a"), how=zipfile.ZIP_BZIP2), "unreadable"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512) + "_VBA_PROJECT".encode("utf-16-le"), "macros"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512) + "EncryptedPackage".encode("utf-16-le"), "encrypted"),
    ],
)
def test_office_files_and_archives_that_are_dangerous_are_refused(content: bytes, code: str) -> None:
    assert danger(content) == code


def test_an_archive_with_a_password_is_refused() -> None:
    content = bytearray(zipped(("a", b"a")))
    content[content.find(b"PK\1\2") + 8] |= 1
    assert danger(bytes(content)) == "encrypted"


def test_an_older_office_file_says_what_it_is() -> None:
    content = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000) + "WordDocument\0".encode("utf-16-le")
    assert look(content).media_type == "application/msword"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (pdf(b"<< /S /JavaScript /JS (app.alert(1)) >>"), "active_content"),
        (pdf(b"<< /S/J#61vaScript >>"), "active_content"),
        (pdf(b"<< /S /Launch /F (cmd.exe) >>"), "active_content"),
        (pdf(bytes(3_000_000) + b"/RichMedia "), "active_content"),
        (pdf(bytes(1024 * 1024 - 50) + b"/JavaScript "), "active_content"),
        (packed(b"3 0 << /S /JavaScript >>"), "active_content"),
        (packed(bytes(130 * 1024 * 1024)), "bomb"),
        (pdf(b"<< /Type /Obj#53tm >> stream\n"), "active_content"),
        (pdf(b"trailer << /Encrypt 3 0 R >>"), "encrypted"),
        (pdf(b"<< /Type /ObjStm >>\nstream\nnot zlib"), "unreadable"),
    ],
)
def test_pdfs_that_run_something_are_refused(content: bytes, code: str) -> None:
    assert danger(content) == code


def test_a_pdf_that_is_read_and_no_more_is_kept() -> None:
    look(packed(b"3 0 << /Type /Page /OpenAction [3 0 R /Fit] >>"))


@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"PK\3\4", b"RIFF", b"%PDF-", b"<svg>"]),
)
def test_whatever_the_bytes_are_a_file_is_something_or_refused(content: bytes, begin: bytes) -> None:
    with suppress(Invalid):
        assert look(begin + content).media_type
