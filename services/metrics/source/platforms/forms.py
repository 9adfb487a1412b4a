"""Decides how a form is taken apart, urlencoded or multipart."""

from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import parse_qsl

from services.metrics.event.rules import UnreadableError
from services.metrics.source.platforms.platform import Delivery

MOST_FIELDS = 2000
Form = list[tuple[str, str]]


def form_of(delivery: Delivery) -> Form:
    """Names and values in the order sent, files left out; UnreadableError when it is no form."""
    kind = delivery.headers.get("content-type", "")
    try:
        if kind.lower().startswith("multipart/form-data"):
            return _parts(kind, delivery.body)
        # What isn't UTF-8 becomes U+FFFD, as half an emoji in JSON does: the fields that count have none.
        text = delivery.body.decode("utf-8", "replace")
        return parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=MOST_FIELDS)
    except Exception:  # the parser of multipart raises whatever comes to it, RecursionError and IndexError among it
        raise UnreadableError("this is no form") from None


def _parts(kind: str, body: bytes) -> Form:
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + kind.encode("latin-1") + b"\r\n\r\n" + body)
    found: Form = []
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and part.get_filename() is None and isinstance(content, bytes):
            found.append((name, content.decode("utf-8", "replace")))
    if not found or len(found) > MOST_FIELDS:
        raise ValueError
    return found


def first(form: Form, name: str) -> str | None:
    """The first value of a field."""
    return next((value for each, value in form if each == name), None)


def last(form: Form, name: str) -> str | None:
    """The last value of a field."""
    return first(form[::-1], name)
