"""What names and headers of files promise, whatever callers send."""

import re
import unicodedata
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.assets.asset.rules import (
    HEAD,
    LONGEST_FILENAME,
    clean_filename,
    content_headers,
    is_fresh,
    media_type_of,
)

SHA = "ab" * 32


@given(st.text())
def test_a_filename_is_one_short_visible_component(sent: str) -> None:
    name = clean_filename(sent)
    assert 0 < len(name) <= LONGEST_FILENAME
    assert "/" not in name
    assert "\\" not in name
    assert not any(unicodedata.category(each) == "Cc" for each in name)
    assert name not in (".", "..")


@given(st.text())
def test_a_clean_filename_stays_as_it_is(sent: str) -> None:
    once = clean_filename(sent)
    assert clean_filename(once) == once


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd", "passwd"), (r"C:\Users\me\logo.png", "logo.png"), ("", "file"), ("..", "file"),
        ("a\r\nb\0.png", "ab.png"), ("annual\u202egpj.exe", "annualgpj.exe"), ("Größe 📐.pdf", "Größe 📐.pdf"),
        ("x" * 300 + ".jpeg", "x" * 195 + ".jpeg"),
    ],
)  # fmt: skip
def test_a_filename_is_the_last_component_without_tricks(sent: str, kept: str) -> None:
    assert clean_filename(sent) == kept


@given(st.text())
def test_a_filename_arrives_whole_and_breaks_no_header(sent: str) -> None:
    name = clean_filename(sent)
    header = content_headers(name, SHA)["Content-Disposition"]
    found = re.fullmatch(r"attachment; filename=\"([^\"\\\r\n]*)\"; filename\*=UTF-8''([A-Za-z0-9_.~%-]*)", header)
    assert found, header
    assert found[1].isascii()
    assert unquote(found[2]) == name


@pytest.mark.parametrize(
    ("sent", "fresh"),
    [("", False), (f'"{SHA}"', True), (f'"x", W/"{SHA}"', True), ("*", True), (SHA, False), ('"x"', False)],
)
def test_who_has_the_bytes_says_so_by_their_tag(sent: str, fresh: bool) -> None:
    assert is_fresh(sent, SHA) is fresh


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n....", "image/png"), (b"RIFF....WEBPVP8 ", "image/webp"),
        (b"\0\0\0\x18ftypisom", "video/mp4"), (b"%PDF-1.7", "application/pdf"),
        (b"<html><script>alert(1)</script>", "text/plain; charset=utf-8"),
        (b"<svg onload='alert(1)'>", "text/plain; charset=utf-8"), (b"\0\1\2", "application/octet-stream"),
        ("ä".encode() * 300, "text/plain; charset=utf-8"), (b"\xff\xfe\xfd", "application/octet-stream"),
    ],
)  # fmt: skip
def test_what_a_file_is_follows_from_its_bytes(head: bytes, media_type: str) -> None:
    assert media_type_of(head[:HEAD]) == media_type


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=HEAD), st.integers(0, 3))
def test_text_is_text_wherever_its_head_is_cut(written: str, shift: int) -> None:
    head = (b"." * shift + written.encode())[:HEAD]
    assert media_type_of(head) != "application/octet-stream"


@given(st.binary(max_size=HEAD))
def test_no_file_is_ever_called_something_that_a_browser_runs(head: bytes) -> None:
    assert not re.search(r"html|svg|xml|script", media_type_of(head))
