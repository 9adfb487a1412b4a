"""Decides which bytes a Range header asks for (RFC 9110, section 14), and how several parts are answered at once."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

# More than any reader needs; whoever asks for more gets the whole instead.
MOST_RANGES = 16
_UNIT = re.compile(r"bytes\s*=\s*", re.IGNORECASE)
_ONE = re.compile(r"(\d{0,20})\s*-\s*(\d{0,20})")


@dataclass(frozen=True)
class Span:
    """Bytes from `start` until before `end`."""

    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start


def spans_of(header: str, size: int) -> list[Span] | None:
    """What a Range header asks of `size` bytes, in its order; spans that touch are one. None: the header is none that
    is understood, and the whole is the answer. Empty: nothing of it can be had, which is 416."""
    unit = _UNIT.match(header)
    if unit is None:
        return None
    asked = [each.strip() for each in header[unit.end() :].split(",")]
    asked = [each for each in asked if each]
    if not 0 < len(asked) <= MOST_RANGES:
        return None
    found: list[Span] = []
    for each in asked:
        span = _span(each, size)
        if span is None:
            return None
        if span.size > 0:
            found.append(span)
    return _joined(found)


def _span(asked: str, size: int) -> Span | None:
    """One of them; with no bytes when it lies behind the end; None when it isn't one."""
    one = _ONE.fullmatch(asked)
    if one is None or one[0].strip() == "-":
        return None
    if not one[1]:
        return Span(max(0, size - int(one[2])), size)
    first = int(one[1])
    last = int(one[2]) if one[2] else size - 1
    if last < first and one[2]:
        return None
    return Span(min(first, size), max(min(first, size), min(last + 1, size)))


def _joined(spans: list[Span]) -> list[Span]:
    """Spans that touch or overlap as one, where the first of them stood: nobody gets a byte twice."""
    joined: list[Span] = []
    for span in spans:
        apart = []
        for other in joined:
            if other.start <= span.end and span.start <= other.end:
                span = Span(min(span.start, other.start), max(span.end, other.end))
            else:
                apart.append(other)
        joined = [*apart, span]
    return joined


def content_range(span: Span, size: int) -> str:
    return f"bytes {span.start}-{span.end - 1}/{size}"


def part_heads(spans: Sequence[Span], size: int, media_type: str, boundary: str) -> tuple[list[bytes], bytes]:
    """What stands before each part of a multipart/byteranges body, and what ends it."""
    heads = [
        f"\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {content_range(span, size)}\r\n\r\n".encode()
        for span in spans
    ]
    return heads, f"\r\n--{boundary}--\r\n".encode()
