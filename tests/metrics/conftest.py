"""Decides how a test plays an e-mail platform: a source with keys of its own, and posts signed as the platform does."""

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI
from sqlalchemy import text
from standardwebhooks import Webhook

from chassis.fields import new_id
from chassis.outside import Outside, UnreachableError
from chassis.testing import Clock
from services.metrics.source.certificates import Certificates
from services.metrics.source.platforms.sendgrid import SIGNATURE, TIMESTAMP
from tests.metrics.playing import PLAYERS, Json, Player, Sent, SesPlayer
from tests.parts import Connect, Deliver, Workspace

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def public_text(key: ec.EllipticCurvePrivateKey) -> str:
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def sendgrid_headers(key: ec.EllipticCurvePrivateKey, body: bytes, timestamp: str) -> dict[str, str]:
    signature = key.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))
    return {SIGNATURE: base64.b64encode(signature).decode(), TIMESTAMP: timestamp}


def standard_headers(body: bytes, now: datetime, secret: str = SECRET, prefix: str = "webhook") -> dict[str, str]:
    """Signed by the reference implementation, not by ours."""
    message_id = f"msg_{new_id().hex}"
    signature = Webhook(secret).sign(message_id, now, body.decode())
    return {
        f"{prefix}-id": message_id, f"{prefix}-timestamp": str(int(now.timestamp())), f"{prefix}-signature": signature,
    }  # fmt: skip


@dataclass
class Sender:
    """A platform with one source, and how it signs."""

    source_id: UUID
    path: str
    http: httpx.AsyncClient
    sign: Callable[[bytes], dict[str, str]]

    async def post(self, payload: Any) -> httpx.Response:
        return await self.post_bytes(json.dumps(payload).encode())

    async def post_bytes(self, body: bytes) -> httpx.Response:
        return await self.http.post(self.path, content=body, headers=self.sign(body))

    async def tell(self, *events: dict[str, Any]) -> None:
        answer = await self.post(list(events))
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"received": len(events), "quarantined": 0}


Open = Callable[..., Awaitable[Sender]]


@pytest.fixture
async def open_sendgrid(connect: Connect, workspace: Workspace) -> Open:
    """`await open_sendgrid()`: a SendGrid account of the workspace, or of another that is named."""

    async def open_source(owner: Workspace = workspace) -> Sender:
        key = ec.generate_private_key(ec.SECP256R1())
        create = {"platform": "sendgrid", "name": "Newsletter", "credentials": {"public_key": public_text(key)}}
        answer = await connect("metrics", owner).post("/v1/sources", json=create)
        assert answer.status_code == 201, answer.text
        source = answer.json()
        return Sender(
            UUID(source["id"]), urlsplit(source["webhook_url"]).path, connect("metrics"),
            lambda body: sendgrid_headers(key, body, "1767225600"),
        )  # fmt: skip

    return open_source


@pytest.fixture
async def sendgrid(open_sendgrid: Open) -> Sender:
    return await open_sendgrid()


async def open_of(connect: Connect, owner: Workspace, clock: Clock) -> Sender:
    """A workspace's source that follows Standard Webhooks."""
    create = {"platform": "standard", "name": "Own mailer", "credentials": {"signing_secret": SECRET}}
    answer = await connect("metrics", owner).post("/v1/sources", json=create)
    assert answer.status_code == 201, answer.text
    source = answer.json()
    return Sender(
        UUID(source["id"]), urlsplit(source["webhook_url"]).path, connect("metrics"),
        lambda body: standard_headers(body, clock.now),
    )  # fmt: skip


@pytest.fixture
async def open_standard(connect: Connect, workspace: Workspace, clock: Clock) -> Open:
    """`await open_standard()`: a source that follows Standard Webhooks."""

    async def open_source(owner: Workspace = workspace) -> Sender:
        return await open_of(connect, owner, clock)

    return open_source


@pytest.fixture
async def standard(open_standard: Open) -> Sender:
    return await open_standard()


Campaigns = Callable[[str], Awaitable[str]]


@pytest.fixture
async def campaign(goals: httpx.AsyncClient, deliver: Deliver) -> Campaigns:
    """`await campaign("spring")`: a campaign that metrics has heard of; its id."""

    async def create(slug: str) -> str:
        flight = {"start": "2026-01-01", "end": "2027-01-01"}
        create = {"name": slug, "slug": slug, "channels": ["email"], "territories": [], "flight": flight}
        answer = await goals.post("/v1/campaigns", json=create)
        assert answer.status_code == 201, answer.text
        await deliver()
        return str(answer.json()["id"])

    return create


Read = Callable[..., Awaitable[list[dict[str, Any]]]]


@pytest.fixture
async def points(metrics: httpx.AsyncClient) -> Read:
    """`await points("email.ctr", grain="total")`: the points of the one series asked for, over 2026."""

    async def read(key: str, **asked: Any) -> list[dict[str, Any]]:
        span = {"from": "2026-01-01", "to": "2027-01-01", "grain": "total"}
        answer = await metrics.get(f"/v1/metrics/{key}/series", params={**span, **asked})
        assert answer.status_code == 200, answer.text
        (series,) = answer.json()["series"]
        found: list[dict[str, Any]] = series["points"]
        return found

    return read


@pytest.fixture
def metrics_app(apps: dict[str, FastAPI]) -> FastAPI:
    return apps["metrics"]


@dataclass
class Shelf:
    """What stands at places outside, and who was there."""

    places: dict[str, bytes] = field(default_factory=dict)
    visits: list[str] = field(default_factory=list)

    async def get(self, url: str) -> bytes:
        self.visits.append(url)
        if url not in self.places:
            raise UnreachableError
        return self.places[url]


@pytest.fixture
async def outside(metrics_app: FastAPI) -> AsyncIterator[Shelf]:
    """The internet as far as these tests go."""
    shelf, state = Shelf(), metrics_app.state
    before = state.outside, state.certificates
    state.outside, state.certificates = shelf, Certificates(cast(Outside, shelf))
    for number in range(2):
        url = f"https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-{number:032x}.pem"
        shelf.places[url] = SesPlayer(number).certificate
    yield shelf
    state.outside, state.certificates = before


@dataclass
class Account:
    """A platform with one source."""

    player: Player
    source: Json
    http: httpx.AsyncClient
    clock: Clock

    @property
    def url(self) -> str:
        return str(self.source["webhook_url"])

    async def send(self, sent: Sent, url: str | None = None) -> httpx.Response:
        return await self.http.post(urlsplit(url or self.url).path, content=sent.body, headers=dict(sent.headers))

    async def say(self, payload: Json, nonce: int = 0) -> httpx.Response:
        return await self.send(self.player.pack(payload, self.url, self.clock.now, nonce))


Play = Callable[..., Awaitable[Account]]


@pytest.fixture
async def account(connect: Connect, workspace: Workspace, clock: Clock, outside: Shelf) -> Play:
    """`await account("brevo")`: a source of the workspace, and its platform."""

    async def make(name: str, number: int = 0, **fields: Any) -> Account:
        player = PLAYERS[name](number)
        create = {"platform": name, "name": name, "credentials": player.credentials(), **fields}
        answer = await connect("metrics", workspace).post("/v1/sources", json=create)
        assert answer.status_code == 201, answer.text
        return Account(player, answer.json(), connect("metrics"), clock)

    return make


async def rows(app: FastAPI, workspace: Workspace) -> int:
    async with app.state.database.tenant(workspace.id) as session:
        counts = "+".join(
            f"(SELECT count(*) FROM {each})" for each in ("occurrence", "quarantine", "recipient", "intake")
        )
        return int(await session.scalar(text(f"SELECT {counts}")) or 0)
