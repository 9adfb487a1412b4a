"""Decides what platforms can send to a source's URL, and what each is answered."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from asyncpg import InterfaceError, PostgresError
from fastapi import APIRouter, Request, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from chassis.db import Database, Now
from chassis.errors import MopsError, Unavailable
from chassis.outside import Outside, RefusedError, UnreachableError
from chassis.problems import answer, kind_of
from chassis.settings import Settings
from services.metrics.event.flush import Flusher, Post
from services.metrics.event.rules import Reading as Read
from services.metrics.source.certificates import Certificates
from services.metrics.source.intake import Intake
from services.metrics.source.platforms import PLATFORMS
from services.metrics.source.platforms.platform import Delivery
from services.metrics.source.rules import SourceState
from services.metrics.source.store import KnownSource, SourceBook, claimed
from services.metrics.webhook.examples import WEBHOOK
from services.metrics.webhook.models import WebhookReceipt
from services.metrics.webhook.posts import kept, later, packed, read_believed, url_of
from services.metrics.webhook.rules import ANYBODYS_RETRY, LARGE, PAUSED_SECONDS, NotBelievedError

router = APIRouter(tags=["events"])
log = logging.getLogger("mops.webhooks")


def _declared(request: Request) -> int | None:
    """How many bytes the body says that it has; None for one that comes in pieces."""
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdecimal() else None


async def _in_pieces(request: Request, keep: Callable[[int], None]) -> bytes:
    """A body whose pieces take room as they come."""
    pieces = []
    async for piece in request.stream():
        keep(len(piece))
        pieces.append(piece)
    return b"".join(pieces)


async def read_post(source: KnownSource, delivery: Delivery) -> Read:
    """What a post says; NotBelievedError unless its platform signed it."""
    # A large one takes a second, in which nobody else would be answered; a small one less than going to a thread.
    if len(delivery.body) > LARGE:
        return await asyncio.to_thread(read_believed, source, delivery)
    return read_believed(source, delivery)


@router.post("/v1/webhooks/{token}", openapi_extra=WEBHOOK, response_model=WebhookReceipt)
async def receive_webhook(token: str, request: Request, now: Now) -> WebhookReceipt | Response:
    """Takes what an e-mail platform posts to its source's URL. The answer is 200 once all of it is durable; the
    numbers hold it within five seconds.

    There is no bearer token: what the platform signs the exact body with decides, in its own format (see the examples
    and docs/metrics.md). 404 for an address that is none; 403 for a signature that is missing or doesn't hold, 401 for
    a wrong user name or password: nothing is kept of these. When it can't be stored now, or the source is paused, the
    status is the one on which that platform sends again (503; 429 for Brevo) with Retry-After: the same event counts
    once however often it comes. When the source is revoked, it is the one on which the platform stops (410; 406 for
    Mailgun, 403 for Postmark). A body that doesn't come in time is asked for again as well; one with a Content-Encoding
    is answered 415.

    An event that can't be read (a field is missing, a text too long, a time before 2000 or over 24 hours ahead) goes to
    `/v1/quarantine` and costs its neighbours nothing; after the first 100 of a post the others are kept as one. A post
    of more than 200,000 events goes there whole.
    """
    sources: SourceBook = request.app.state.sources
    try:
        source = await sources.find(token, now)
    except (SQLAlchemyError, PostgresError, InterfaceError, OSError) as problem:
        log.warning("source_unread", extra={"kind": kind_of(problem)})
        known = sources.platform_of(token)
        status = PLATFORMS[known].retry_status if known else ANYBODYS_RETRY
        return later(status, "database_unavailable", "the database can't answer now; send it again")
    platform, intake = PLATFORMS[source.platform], _intake(request)
    if source.state is SourceState.REVOKED:
        return answer(platform.stop_status, "source_revoked", "this source is revoked; send nothing more")
    if source.state is SourceState.PAUSED:
        return later(platform.retry_status, "source_paused", "this source is paused; send it again", PAUSED_SECONDS)
    if packed(request.headers):
        # None of the platforms packs its posts, and of one that did nobody says which form it signs. Kept as it is,
        # nobody who asks to be forgotten would be found in it.
        intake.note(source.workspace_id, source.id, now, refused=1)
        words = "a body is read as it comes: send it without Content-Encoding"
        return answer(415, "unsupported_content_encoding", words, headers={"Accept-Encoding": "identity"})
    try:
        return await _take(source, token, request, now)
    except NotBelievedError:
        intake.note(source.workspace_id, source.id, now, refused=1)
        asking = {"WWW-Authenticate": 'Basic realm="webhook"'} if platform.refuse_status == 401 else None
        words = "the signature is missing or doesn't hold"
        return answer(platform.refuse_status, "signature_invalid", words, headers=asking)
    except Unavailable as problem:
        return later(platform.retry_status, problem.code, problem.detail, problem.retry_after)
    except HTTPException as problem:
        if problem.status_code != 408:
            raise
        # A 408 is final for some, and the next time the body may come faster.
        words = "the body didn't come in time; send it again"
        return later(platform.retry_status, "request_timeout", words, headers=problem.headers)
    except MopsError:
        raise
    except Exception:  # whatever it is, some platforms would take a 500 for the end of the event
        log.exception("webhook_failed", extra={"platform": source.platform.value})
        return later(platform.retry_status, "internal", "something went wrong here; send it again")


async def _take(source: KnownSource, token: str, request: Request, now: datetime) -> WebhookReceipt:
    flusher: Flusher = request.app.state.flusher
    declared = _declared(request)
    with flusher.expecting(declared or 0) as keep:
        body = await (_in_pieces(request, keep) if declared is None else request.body())
        settings: Settings = request.app.state.settings
        url = url_of(settings.webhook_url, token, request.url.query)
        delivery = Delivery(request.method, url, request.headers, body, now)
        reading = await read_post(source, await _with_certificate(source, delivery, request))
    await _assert_claimed(source, delivery, request)
    await _confirm(source, delivery, request)
    if reading.events or reading.unreadable:
        await flusher.store(source.workspace_id, Post(source.id, now, reading, len(body), kept(request.headers)))
    received, quarantined = len(reading.events), reading.quarantined
    _intake(request).note(source.workspace_id, source.id, now, received=received, quarantined=quarantined)
    request.app.state.measures.ingested.labels(source.platform).inc(received)
    return WebhookReceipt(received=received, quarantined=quarantined)


async def _with_certificate(source: KnownSource, delivery: Delivery, request: Request) -> Delivery:
    """The post with the certificate that it can be checked by, where its platform signs with one."""
    certificates: Certificates = request.app.state.certificates
    for credentials in source.live(delivery.at):
        if url := PLATFORMS[source.platform].certificate_url(credentials, delivery):
            return replace(delivery, certificate=await certificates.get(url))
    return delivery


async def _assert_claimed(source: KnownSource, delivery: Delivery, request: Request) -> None:
    """NotBelievedError when its signature came with another body before. It commits before the events do: if these
    fail, the platform comes again with both."""
    claim = PLATFORMS[source.platform].claim(delivery)
    if claim is None:
        return
    database: Database = request.app.state.database
    try:
        async with database.tenant(source.workspace_id) as session:
            held = await claimed(session, source.id, claim, delivery.at)
    except (SQLAlchemyError, OSError) as problem:
        log.warning("claim_unread", extra={"kind": kind_of(problem)})
        raise Unavailable("this couldn't be stored now; send it again", code="not_stored") from None
    if not held:
        raise NotBelievedError


async def _confirm(source: KnownSource, delivery: Delivery, request: Request) -> None:
    """Does what an authentic platform asks for before it begins to send."""
    outside: Outside = request.app.state.outside
    url = PLATFORMS[source.platform].confirmation_url(delivery)
    if url is None:
        return
    try:
        await outside.get(url)
    except (RefusedError, UnreachableError):
        raise Unavailable("the subscription couldn't be confirmed now; send it again", code="not_confirmed") from None
    log.info("subscription_confirmed", extra={"source_id": str(source.id)})


@router.api_route(
    "/v1/webhooks/{token}", methods=["GET"], openapi_extra={"x-graph": False}, response_class=Response
)  # fmt: skip
@router.api_route("/v1/webhooks/{token}", methods=["HEAD"], include_in_schema=False, response_model=None)
async def check_webhook(token: str, request: Request, now: Now) -> Response:
    """Answers a platform that asks whether anybody is there before it sends: GET and HEAD for Mailchimp, HEAD for
    Mandrill. 405 for all others, 404 for an address that is none."""
    sources: SourceBook = request.app.state.sources
    source = await sources.find(token, now)
    platform = PLATFORMS[source.platform]
    if source.state is SourceState.REVOKED:
        return answer(platform.stop_status, "source_revoked", "this source is revoked; send nothing more")
    if request.method not in platform.greetings:
        allowed = {"Allow": ", ".join(["POST", *sorted(platform.greetings)])}
        return answer(405, "method_not_allowed", f"{source.platform} posts here", headers=allowed)
    return Response(status_code=200)


def _intake(request: Request) -> Intake:
    intake: Intake = request.app.state.intake
    return intake
