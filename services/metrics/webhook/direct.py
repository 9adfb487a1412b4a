"""Decides which posts are taken past ASGI: small ones, of sources that are known, that nothing need be asked about."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from typing import Any

from fastapi import FastAPI

from chassis.direct import Direct, Headers, Say, Visit
from services.metrics.event.flush import Flusher, Post, not_stored
from services.metrics.source.intake import Intake
from services.metrics.source.platforms import PLATFORMS
from services.metrics.source.platforms.platform import Delivery, Platform
from services.metrics.source.rules import SourceState
from services.metrics.source.store import KnownSource, SourceBook
from services.metrics.webhook.models import WebhookReceipt
from services.metrics.webhook.posts import kept, later, packed, read_believed, url_of
from services.metrics.webhook.rules import LARGE

PREFIX = "/v1/webhooks/"
ROUTE = f"{PREFIX}{{token}}"
_JSON = (b"content-type", b"application/json")


def _asks_nothing(platform: Platform) -> bool:
    """Whether a post of it is decided by what it and its source hold: no certificate, claim or confirmation."""
    kind = type(platform)
    return (kind.certificate_url, kind.confirmation_url, kind.claim) == (
        Platform.certificate_url, Platform.confirmation_url, Platform.claim,
    )  # fmt: skip


SIMPLE = frozenset(name for name, platform in PLATFORMS.items() if _asks_nothing(platform))


class Taker:
    """Takes what would be 200 at once, and leaves all else to the route, before anything has happened: a token that
    isn't known or was read too long ago, a signature that doesn't hold, a full queue."""

    def __init__(self, state: Any) -> None:
        self._state = state
        self._sources: SourceBook = state.sources
        self._flusher: Flusher = state.flusher
        self._intake: Intake = state.intake
        self._most = min(LARGE, state.settings.webhook_limit)
        self._base = state.settings.webhook_url

    def take(self, scope: Mapping[str, Any], body: bytes, say: Say) -> bool:
        began, now = time.perf_counter(), self._state.clock()
        token, query = scope["path"][len(PREFIX) :], scope["query_string"]
        source = self._sources.remembered(token, now)
        if source is None or source.state is not SourceState.ACTIVE or source.platform not in SIMPLE:
            return False
        if len(body) > self._most or b"%00" in query:
            return False
        try:
            headers = _mapping(scope["headers"])
            if packed(headers):
                return False
            delivery = Delivery("POST", url_of(self._base, token, query.decode()), headers, body, now)
            reading = read_believed(source, delivery)
            if not (reading.events or reading.unreadable):
                return False
            post = Post(source.id, now, reading, len(body), kept(headers))
            self._flusher.queue(source.workspace_id, post)
        except Exception:  # whatever it is, the route meets it again, and knows the platform's word for it
            return False
        visit = Visit(self._state, ROUTE, headers, say, began)
        post.stored.add_done_callback(partial(self._answer, visit, source, post))
        return True

    def _answer(self, visit: Visit, source: KnownSource, post: Post, stored: Any) -> None:
        if not stored.result():
            problem = not_stored()
            again = PLATFORMS[source.platform].retry_status
            answer = later(again, problem.code, problem.detail, problem.retry_after)
            headers = [each for each in answer.raw_headers if each[0] != b"content-length"]
            visit.answer(again, headers, bytes(answer.body))
            return
        received, quarantined = len(post.reading.events), post.reading.quarantined
        self._intake.note(source.workspace_id, source.id, post.received_at, received=received, quarantined=quarantined)
        self._state.measures.ingested.labels(source.platform).inc(received)
        visit.answer(200, (_JSON,), _receipt(received, quarantined))


def _mapping(headers: Headers) -> dict[str, str]:
    """The first of each name, as ASGI's own mapping has it. Decoded in one go: no header holds the end of a line."""
    words = b"\n".join([word for each in reversed(headers) for word in each]).decode("latin-1").split("\n")
    return dict(zip(words[::2], words[1::2], strict=True))


@lru_cache(maxsize=1000)
def _receipt(received: int, quarantined: int) -> bytes:
    return WebhookReceipt(received=received, quarantined=quarantined).model_dump_json().encode()


@asynccontextmanager
async def taking(app: FastAPI) -> AsyncIterator[None]:
    """Answers posts past ASGI while there is a queue to put them in."""
    app.state.direct = Direct(PREFIX, Taker(app.state).take)
    try:
        yield
    finally:
        app.state.direct = None
