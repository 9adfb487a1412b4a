"""Decides what callers can do with sources."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from fastapi import APIRouter, FastAPI, Request

from chassis.answers import page, read_row
from chassis.db import Now, Reading, Session, workspace_of
from chassis.errors import FieldError, Invalid
from chassis.fields import new_id
from chassis.idempotency import IdempotentRoute
from chassis.identity import scope
from chassis.listing import Fields, Listing, fields_of, listing
from chassis.paging import Page
from chassis.secrets import Sealer
from chassis.settings import Settings
from services.metrics.source import store
from services.metrics.source.models import Source, SourceCreate, SourceCreated, SourceCredentials, SourceRead
from services.metrics.source.platforms import PLATFORMS
from services.metrics.source.rules import PlatformName, hash_token, new_token

router = APIRouter(route_class=IdempotentRoute, tags=["sources"])


@asynccontextmanager
async def sealing(app: FastAPI) -> AsyncIterator[None]:
    """Opens what seals credentials and what finds sources by their token."""
    app.state.sealer = Sealer(app.state.settings.secret_key, store.PURPOSE)
    app.state.sources = store.SourceBook(app.state.database, app.state.sealer)
    yield


def _credentials(platform: PlatformName, given: SourceCredentials) -> dict[str, str]:
    needs = PLATFORMS[platform].needs
    secret = given.signing_secret.get_secret_value() if given.signing_secret else None
    both = {"public_key": given.public_key, "signing_secret": secret}
    sent = {name: value for name, value in both.items() if value is not None}
    wrong = [
        *(FieldError(f"credentials.{each}", "missing", f"{platform} needs it") for each in needs if each not in sent),
        *(FieldError(f"credentials.{each}", "extra", f"{platform} has none") for each in sent if each not in needs),
    ]
    if wrong:
        raise Invalid(f"{platform} takes {', '.join(needs)}", errors=tuple(wrong))
    PLATFORMS[platform].check(sent)
    return sent


def _webhook_url(settings: Settings, token: str) -> str:
    return f"{settings.webhook_url}/v1/webhooks/{token}"


@router.post("/v1/sources", status_code=201, dependencies=[scope("metrics:write")])
async def create_source(create: SourceCreate, request: Request, session: Session, now: Now) -> SourceCreated:
    """Connects one account at an e-mail platform. Paste `webhook_url` there: it is in this answer and nowhere else.

    Credentials are sealed and never shown again. In SendGrid's settings: Mail Settings, Event Webhook, paste the URL,
    and enable Signed Event Webhook; its verification key is the `public_key`.
    """
    credentials = _credentials(create.platform, create.credentials)
    workspace_id, source_id, token = workspace_of(session), new_id(), new_token()
    source = Source(
        workspace_id=workspace_id, id=source_id, platform=create.platform, name=create.name, created_at=now,
        received_at=None,
        token_hash=hash_token(token),
        credentials=store.seal_credentials(request.app.state.sealer, workspace_id, source_id, credentials),
    )  # fmt: skip
    await store.add_source(session, source)
    url = _webhook_url(request.app.state.settings, token)
    return SourceCreated.of(source, webhook_url=url)


@router.get("/v1/sources/{id}", dependencies=[scope("metrics:read")])
async def get_source(id: UUID, reading: Reading, fields: Fields = fields_of(SourceRead)) -> SourceRead:
    """One source, without its secrets."""
    return await read_row(reading, Source, id, SourceRead, fields)


@router.get("/v1/sources", dependencies=[scope("metrics:read")])
async def list_sources(
    reading: Reading,
    asked: Listing[SourceRead] = listing(
        Source, SourceRead, sort=("name", "created_at"), by=("platform", "created_at")
    ),
) -> Page[SourceRead]:
    """Sources, the oldest first unless sorted otherwise."""
    return await page(reading, asked)
