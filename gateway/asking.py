"""Decides how a GraphQL request is read from HTTP, and in which media type it is answered (GraphQL over HTTP)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import Request

from gateway.execution.limits import MAX_BYTES

MODERN, LEGACY, STREAM = "application/graphql-response+json", "application/json", "text/event-stream"
# Of those that a caller may accept, so many are looked at.
MOST_RANGES = 50
# What each is answered with: the first that they don't refuse by its name.
RANGES = {
    MODERN: (MODERN,), LEGACY: (LEGACY,), STREAM: (STREAM,), "application/*": (LEGACY, MODERN), "*/*": (LEGACY, MODERN),
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """One GraphQL request. The document is there by its text, its id, or both."""

    query: str | None
    id: str | None
    variables: Mapping[str, Any]
    operation_name: str | None


class Wrong(Exception):
    """A request that isn't answered with data: the errors that say why, and the status where the media type doesn't say
    that."""

    def __init__(
        self, status: int | None, errors: list[dict[str, Any]], headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status)
        self.status = status
        self.errors = errors
        self.headers = headers or {}

    @classmethod
    def because(cls, status: int, code: str, message: str, **headers: str) -> "Wrong":
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, [{"message": message, "extensions": {"code": code}}], named)


def media_type(accept: str) -> str | None:
    """What to answer in: what is accepted most, the modern one among equals; None when nothing is."""
    accepted = [each for each in map(_ranged, (accept or "*/*").split(",")[:MOST_RANGES]) if each is not None]
    refused = {kind for kind, weight in accepted if not weight}
    best, found = 0.0, None
    for kind, weight in accepted:
        offered = next((each for each in RANGES[kind] if each not in refused), None)
        if offered and (weight > best or (weight == best and weight and kind == MODERN)):
            best, found = weight, offered
    return found


def _ranged(accepted: str) -> tuple[str, float] | None:
    """A range that is spoken here, and how much it is wanted."""
    kind, *parameters = _parts(accepted)
    if kind not in RANGES or _is_foreign(parameters):
        return None
    quality = next((part.removeprefix("q=") for part in parameters if part.startswith("q=")), "1")
    try:
        return kind, float(quality)
    except ValueError:
        return None


def _parts(media: str) -> list[str]:
    return [part.strip().lower() for part in media.split(";")]


def _is_foreign(parameters: list[str]) -> bool:
    """Whether they name another encoding than UTF-8, in quotes or not."""
    named = (part.removeprefix("charset=").strip('"') for part in parameters if part.startswith("charset="))
    return any(each != "utf-8" for each in named)


async def by_post(request: Request) -> Asked:
    media, *parameters = _parts(request.headers.get("content-type", ""))
    if media != LEGACY or _is_foreign(parameters):
        # What a page elsewhere can send without asking (forms, plain text) is never read.
        raise Wrong.because(415, "UNSUPPORTED_MEDIA_TYPE", "send application/json in UTF-8")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        # What is small packed may be anything but that.
        words = "send it as it is, without Content-Encoding"
        raise Wrong.because(415, "UNSUPPORTED_CONTENT_ENCODING", words, Accept_Encoding="identity")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BYTES:
            raise Wrong.because(413, "QUERY_TOO_LARGE", f"a request has {MAX_BYTES} bytes at most")
    sent = _json(body, "the body")
    if not isinstance(sent, dict):
        raise Wrong.because(400, "BAD_REQUEST", "the body is a JSON object with `query`")
    return asked_of(sent)


def by_get(request: Request) -> Asked:
    sent: dict[str, Any] = dict(request.query_params)
    for name in ("variables", "extensions"):
        sent[name] = _json(sent[name].encode(), f"`{name}`") if sent.get(name) else None
    return asked_of({name: value for name, value in sent.items() if value != ""})


def _json(text: bytes, what: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        raise Wrong.because(400, "BAD_REQUEST", f"{what} isn't JSON") from None


def asked_of(sent: Mapping[str, Any]) -> Asked:
    """What a request's members ask for."""
    query, operation_name = _text(sent, "query"), _text(sent, "operationName")
    variables, extensions = _map(sent, "variables"), _map(sent, "extensions")
    persisted = extensions.get("persistedQuery")
    if persisted is not None and not (isinstance(persisted, dict) and isinstance(persisted.get("sha256Hash"), str)):
        raise Wrong.because(400, "BAD_REQUEST", "`extensions.persistedQuery` holds a `sha256Hash`")
    known_as = _text(sent, "documentId") or (persisted["sha256Hash"] if persisted else None)
    if not query and not known_as:
        raise Wrong.because(400, "BAD_REQUEST", "`query` is missing, and `documentId` too")
    return Asked(query or None, known_as, variables, operation_name)


def _text(sent: Mapping[str, Any], name: str) -> str | None:
    value = sent.get(name)
    if not isinstance(value, str | None):
        raise Wrong.because(400, "BAD_REQUEST", f"`{name}` is text")
    return value


def _map(sent: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = sent.get(name)
    if not isinstance(value, dict | None):
        raise Wrong.because(400, "BAD_REQUEST", f"`{name}` is an object")
    return value or {}
