"""What names and headers of files promise, whatever callers send."""

import re
import unicodedata
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.settings import Settings
from services.assets.version.multipart import LONGEST_FIELD, MOST_FIELDS
from services.assets.version.ranges import MOST_RANGES, Span, spans_of
from services.assets.version.rules import (
    LONGEST_FILENAME,
    clean_filename,
    content_headers,
    is_fresh,
    range_holds,
    served_as,
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
    header = content_headers(name, SHA, "image/png")["Content-Disposition"]
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
    ("sent", "holds"),
    [("", True), (f'"{SHA}"', True), (f'W/"{SHA}"', False), ('"x"', False), ("Sat, 01 Jan 2000 00:00:00 GMT", False)],
)
def test_a_part_is_given_only_of_the_very_same_bytes(sent: str, holds: bool) -> None:
    assert range_holds(sent, SHA) is holds


@pytest.mark.parametrize(
    ("header", "spans"),
    [
        ("bytes=0-0", [(0, 1)]), ("bytes=2-4", [(2, 5)]), ("bytes=7-", [(7, 10)]), ("bytes=-3", [(7, 10)]),
        ("bytes=-99", [(0, 10)]), ("bytes=5-99", [(5, 10)]), ("BYTES = 1 - 2", [(1, 3)]),
        ("bytes=0-1,4-5", [(0, 2), (4, 6)]), ("bytes=4-5,,0-1,", [(4, 6), (0, 2)]),
        ("bytes=0-4,2-6", [(0, 7)]), ("bytes=0-1,2-3", [(0, 4)]), ("bytes=0-1,4-5,1-4", [(0, 6)]),
        ("bytes=10-", []), ("bytes=99-100,-0", []), ("bytes=99-100,1-1", [(1, 2)]),
    ],
)  # fmt: skip
def test_a_range_asks_for_bytes(header: str, spans: list[tuple[int, int]]) -> None:
    assert spans_of(header, 10) == [Span(*each) for each in spans]


@pytest.mark.parametrize(
    "header",
    ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=4-2", "lines=0-1", "bytes=0-1;2-3", "bytes=1", "bytes=--1",
     "bytes=0-0,x", "bytes=" + ",".join("0-0" for _ in range(MOST_RANGES + 1)), f"bytes=0-{'9' * 21}"],
)  # fmt: skip
def test_a_range_that_is_not_understood_is_no_range(header: str) -> None:
    assert spans_of(header, 10) is None


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=MOST_RANGES), st.integers(1, 25)
)
def test_spans_never_share_a_byte_and_hold_just_what_was_asked(asked: list[tuple[int, int]], size: int) -> None:
    asked = [(min(pair), max(pair)) for pair in asked]
    spans = spans_of("bytes=" + ",".join(f"{first}-{last}" for first, last in asked), size)
    assert spans is not None
    given = [byte for span in spans for byte in range(span.start, span.end)]
    assert len(given) == len(set(given))
    assert set(given) == {byte for first, last in asked for byte in range(first, last + 1) if byte < size}


@pytest.mark.parametrize("media_type", ["text/html", "text/plain"])
def test_no_page_leaves_as_one(media_type: str) -> None:
    assert served_as(media_type) == "text/plain; charset=utf-8"


def test_a_file_of_five_gigabytes_may_come_however_they_are_counted() -> None:
    form = MOST_FIELDS * LONGEST_FIELD
    assert Settings().upload_limit >= 5 * 1024**3 + form
