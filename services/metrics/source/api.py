"""Decides what callers can do with sources."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request

from chassis.answers import page, read_row
from chassis.db import Now, Reading, Session, add_row, workspace_of
from chassis.editing import IfMatch, edited, held
from chassis.errors import FieldError, Invalid, NotFound
from chassis.fields import new_id
from chassis.idempotency import IdempotentRoute
from chassis.identity import scope
from chassis.listing import Fields, Listing, fields_of, listing
from chassis.paging import MOST, Page
from chassis.settings import Settings
from services.metrics.event.rules import network
from services.metrics.source import store
from services.metrics.source.models import (
    Source,
    SourceCreate,
    SourceCreated,
    SourceCredentials,
    SourceHealth,
    SourcePatch,
    SourceRead,
    SourceReaddress,
    SourceRotate,
    SourceSettings,
)
from services.metrics.source.platforms import PLATFORMS
from services.metrics.source.rules import (
    PlatformName,
    SourceState,
    assert_has_credentials,
    assert_usable,
    hash_token,
    moved,
    new_token,
    unknown_labels,
)

router = APIRouter(route_class=IdempotentRoute, tags=["sources"])

Hours = Annotated[int, Query(ge=1, le=24 * 30, description="How far back to look.")]
SourceIds = Annotated[list[UUID], Query(min_length=1, max_length=MOST, description=f"Of these sources, up to {MOST}.")]


def _checked(platform: PlatformName, given: SourceCredentials) -> dict[str, Any]:
    needs, sent = PLATFORMS[platform].needs, given.plain()
    wrong = [
        *(FieldError(f"credentials.{each}", "missing", f"{platform} needs it") for each in needs if each not in sent),
        *(FieldError(f"credentials.{each}", "extra", f"{platform} has none") for each in sent if each not in needs),
    ]
    if wrong:
        raise Invalid(f"{platform} takes {', '.join(needs) or 'no credentials'}", errors=tuple(wrong))
    PLATFORMS[platform].check(sent)
    return sent


def _assert_told(platform: PlatformName, settings: SourceSettings) -> None:
    """Invalid when the campaign can't be decided by what `campaign_by` names."""
    gives = PLATFORMS[platform].gives
    unknown = unknown_labels(settings.campaign_by, gives)
    if unknown:
        named = ", ".join(f"{each}.KEY" if each == "data" else each for each in sorted(gives))
        raise Invalid.field("campaign_by", f"{platform} tells {named}, and not {', '.join(unknown)}", "unknown")
    for place, each in enumerate(settings.bot_networks):
        try:
            network(each)
        except ValueError:
            raise Invalid.field(f"bot_networks.{place}", "no network, such as 192.0.2.0/24", "network") from None
    if len(set(settings.campaign_by)) < len(settings.campaign_by):
        raise Invalid.field("campaign_by", "names something twice", "repeated")


def _with_url(request: Request, source: Source, token: str) -> SourceCreated:
    settings: Settings = request.app.state.settings
    return SourceCreated.of(source, webhook_url=f"{settings.webhook_url}/v1/webhooks/{token}")


def _seal(request: Request, source: Source, credentials: dict[str, Any]) -> bytes:
    return store.seal_credentials(request.app.state.sealer, source.workspace_id, source.id, credentials)


@router.post("/v1/sources", status_code=201, dependencies=[scope("metrics:write")])
async def create_source(create: SourceCreate, request: Request, session: Session, now: Now) -> SourceCreated:
    """Connects one account at an e-mail platform. Paste `webhook_url` there: it is in this answer and nowhere else.

    Credentials are sealed and never shown again. Where a platform shows its secret only once it knows the URL (Mandrill
    does, and SendGrid or Resend if you begin there), leave `credentials` out and send them to `rotate`. What to
    configure at each platform is in docs/metrics.md.
    """
    _assert_told(create.platform, create)
    needs = PLATFORMS[create.platform].needs
    awaiting = create.credentials is None and bool(needs)
    credentials = {} if create.credentials is None else _checked(create.platform, create.credentials)
    token = new_token()
    source = Source(
        workspace_id=workspace_of(session), id=new_id(), platform=create.platform, name=create.name,
        campaign_by=create.campaign_by, honeypots=create.honeypots,
        bot_networks=create.bot_networks, created_at=now, received_at=None, token_hash=hash_token(token),
        credentials=b"",
        state=SourceState.AWAITING if awaiting else SourceState.ACTIVE, old_token_hash=None, old_token_ends_at=None,
        old_credentials=None, old_credentials_end_at=None,
    )  # fmt: skip
    source.credentials = _seal(request, source, credentials)
    await add_row(session, source)
    return _with_url(request, source, token)


@router.get("/v1/sources/{id}", dependencies=[scope("metrics:read")])
async def get_source(id: UUID, reading: Reading, fields: Fields = fields_of(SourceRead)) -> SourceRead:
    """One source, without its secrets."""
    return await read_row(reading, Source, id, SourceRead, fields)


@router.get("/v1/sources", dependencies=[scope("metrics:read")])
async def list_sources(
    reading: Reading,
    asked: Listing[SourceRead] = listing(
        Source, SourceRead, sort=("name", "created_at"), by=("platform", "state", "created_at")
    ),
) -> Page[SourceRead]:
    """Sources, the oldest first unless sorted otherwise."""
    return await page(reading, asked)


@router.patch("/v1/sources/{id}", dependencies=[scope("metrics:write")])
async def update_source(
    id: UUID, patch: SourcePatch, request: Request, if_match: IfMatch, session: Session
) -> SourceRead:
    """Changes what is sent and leaves the rest. Another `campaign_by` holds for events that come from now on."""
    source = await held(session, Source, id, if_match)
    assert_usable(source.state)
    settings = edited(SourceSettings, SourceRead.of(source), patch)
    _assert_told(source.platform, settings)
    return await _changed(request, session, source, **settings.model_dump())


@router.post("/v1/sources/{id}/rotate", dependencies=[scope("metrics:write")])
async def rotate_source(
    id: UUID, rotate: SourceRotate, request: Request, if_match: IfMatch, session: Session, now: Now
) -> SourceRead:
    """New credentials. Those so far are taken for `keep_old_minutes` more, older ones end now. A source that awaited
    its first ones becomes active. Every process follows within five seconds."""
    source = await held(session, Source, id, if_match)
    assert_usable(source.state)
    sealed, first = _seal(request, source, _checked(source.platform, rotate.credentials)), source.state
    kept = rotate.keep_old_minutes > 0 and first is not SourceState.AWAITING
    return await _changed(
        request, session, source,
        state=SourceState.ACTIVE if first is SourceState.AWAITING else first,
        old_credentials=source.credentials if kept else None,
        old_credentials_end_at=now + timedelta(minutes=rotate.keep_old_minutes) if kept else None,
        credentials=sealed,
    )  # fmt: skip


@router.post("/v1/sources/{id}/readdress", dependencies=[scope("metrics:write")])
async def readdress_source(
    id: UUID, readdress: SourceReaddress, request: Request, if_match: IfMatch, session: Session, now: Now
) -> SourceCreated:
    """A new URL to paste at the platform, shown this once. The one so far works for `keep_old_minutes` more, an older
    one ends now; every process follows within five seconds."""
    source = await held(session, Source, id, if_match)
    assert_usable(source.state)
    token, kept = new_token(), readdress.keep_old_minutes > 0
    await _changed(
        request, session, source,
        old_token_hash=source.token_hash if kept else None,
        old_token_ends_at=now + timedelta(minutes=readdress.keep_old_minutes) if kept else None,
        token_hash=hash_token(token),
    )  # fmt: skip
    return _with_url(request, source, token)


@router.post("/v1/sources/{id}/pause", dependencies=[scope("metrics:write")])
async def pause_source(id: UUID, request: Request, if_match: IfMatch, session: Session) -> SourceRead:
    """Takes nothing for a while: the platform is asked to send again later. Most do for hours, Brevo and SES give up
    sooner."""
    return await _moved(request, session, await held(session, Source, id, if_match), SourceState.PAUSED)


@router.post("/v1/sources/{id}/resume", dependencies=[scope("metrics:write")])
async def resume_source(id: UUID, request: Request, if_match: IfMatch, session: Session) -> SourceRead:
    """Takes posts again. 409 `source_awaiting` while it has no credentials."""
    source = await held(session, Source, id, if_match)
    assert_has_credentials(source.state)
    return await _moved(request, session, source, SourceState.ACTIVE)


@router.post("/v1/sources/{id}/revoke", dependencies=[scope("metrics:write")])
async def revoke_source(id: UUID, request: Request, if_match: IfMatch, session: Session) -> SourceRead:
    """Ends a source, for good: nothing more is believed, and the platform is told to stop where it has a word for that.
    Its events stay."""
    return await _moved(request, session, await held(session, Source, id, if_match), SourceState.REVOKED)


async def _moved(request: Request, session: Session, source: Source, to: SourceState) -> SourceRead:
    return await _changed(request, session, source, state=moved(source.state, to))


async def _changed(request: Request, session: Session, source: Source, **values: Any) -> SourceRead:
    source.sqlmodel_update(values)
    await session.flush()
    request.app.state.sources.forget(source.id)
    return SourceRead.of(source)


@router.get("/v1/sources/{id}/health", dependencies=[scope("metrics:read")])
async def get_source_health(id: UUID, reading: Reading, now: Now, hours: Hours = 24) -> SourceHealth:
    """What came to a source lately, and what became of it: how many events, repeated, unmapped, unreadable, and posts
    that weren't believed."""
    found = await _health(reading, [id], now, hours)
    if not found:
        raise NotFound(f"no source {id}")
    return found[0]


@router.get("/v1/source-health", dependencies=[scope("metrics:read")])
async def list_source_health(source_id: SourceIds, reading: Reading, now: Now, hours: Hours = 24) -> Page[SourceHealth]:
    """The same of many sources; those that don't exist are left out."""
    return Page(items=await _health(reading, source_id, now, hours))


async def _health(reading: Reading, source_ids: Sequence[UUID], now: datetime, hours: int) -> list[SourceHealth]:
    since = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours)
    return [
        SourceHealth(
            source_id=row.id, state=row.state, last_event_at=row.received_at, hours=hours,
            events_per_hour=round(row.received / ((now - since) / timedelta(hours=1)), 3),
            received=row.received, duplicates=max(0, row.received - row.stored), unmapped=row.unmapped,
            quarantined=row.quarantined, refused=row.refused,
        )
        for row in await store.counts_of(reading, source_ids, since)
    ]  # fmt: skip
