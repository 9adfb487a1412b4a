"""Decides how a form is taken apart, urlencoded or multipart."""

import re
from email.parser import BytesHeaderParser
from email.policy import HTTP
from urllib.parse import parse_qsl

from services.metrics.event.rules import UnreadableError
from services.metrics.source.platforms.platform import Delivery

MOST_FIELDS = 2000
Form = list[tuple[str, str]]
_HEADERS, _GAP = BytesHeaderParser(policy=HTTP), re.compile(rb"\r?\n\r?\n")


def form_of(delivery: Delivery) -> Form:
    """Names and values in the order sent, files left out; UnreadableError when it is no form."""
    kind = delivery.headers.get("content-type", "")
    try:
        if kind.lower().startswith("multipart/form-data"):
            return _parts(kind, delivery.body)
        # What isn't UTF-8 becomes U+FFFD, as half an emoji in JSON does: the fields that count have none.
        text = delivery.body.decode("utf-8", "replace")
        return parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=MOST_FIELDS)
    except Exception:  # the parser of headers raises whatever comes to it, IndexError among it
        raise UnreadableError("this is no form") from None


def _parts(kind: str, body: bytes) -> Form:
    """By the boundary alone: what stands in a part isn't looked into, so that nothing is gained by nesting."""
    boundary = _HEADERS.parsebytes(b"Content-Type: " + kind.encode("latin-1")).get_boundary("").encode("latin-1")
    mark = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(?:--)?[ \t]*(?=\r?\n|\Z)")
    # Before the first of them, and after the last, nothing belongs to the form.
    found = [part for piece in mark.split(body, MOST_FIELDS + 2)[1:-1] if (part := _part(piece))]
    if not boundary or not found or len(found) > MOST_FIELDS:
        raise ValueError
    return found


def _part(piece: bytes) -> tuple[str, str] | None:
    """A field's name and value; None for a file."""
    gap = _GAP.search(piece)
    part = _HEADERS.parsebytes(piece[: gap.start() if gap else len(piece)].lstrip())
    part.set_payload(piece[gap.end() if gap else len(piece) :].decode("ascii", "surrogateescape"))
    name, content = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
    if isinstance(name, str) and part.get_filename() is None and isinstance(content, bytes):
        return name, content.decode("utf-8", "replace")
    return None


def first(form: Form, name: str) -> str | None:
    """The first value of a field."""
    return next((value for each, value in form if each == name), None)


def last(form: Form, name: str) -> str | None:
    """The last value of a field."""
    return first(form[::-1], name)
