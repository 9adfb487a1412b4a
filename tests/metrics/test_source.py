"""What a source promises."""

import base64

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI
from sqlalchemy import text

from chassis.secrets import SealBrokenError, Sealer
from chassis.testing import START, TestStack
from services.metrics.source.models import SourceCreate, SourceCreated
from tests.metrics.conftest import SECRET, Sender, public_text
from tests.parts import Connect, Workspace

P256 = public_text(ec.generate_private_key(ec.SECP256R1()))
P384 = public_text(ec.generate_private_key(ec.SECP384R1()))
RSA = base64.b64encode(
    rsa.generate_private_key(65537, 2048).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()


async def test_the_webhook_url_is_shown_once_and_no_secret_ever_again(metrics: httpx.AsyncClient) -> None:
    create = {"platform": "sendgrid", "name": "Newsletter", "credentials": {"public_key": P256}}
    created = (await metrics.post("/v1/sources", json=create)).json()
    address, _, token = created.pop("webhook_url").rpartition("/")
    assert address == "http://metrics/v1/webhooks"
    assert len(token) == 43
    assert created["received_at"] is None
    one = await metrics.get(f"/v1/sources/{created['id']}")
    assert one.json() == created
    several = await metrics.get("/v1/sources", params={"platform": "sendgrid", "sort": "-created_at"})
    assert several.json() == {"items": [created], "next_cursor": None}
    for answer in (one, several):
        assert token not in answer.text
        assert P256 not in answer.text


async def test_a_token_and_credentials_are_not_in_the_database_as_they_are(
    metrics_app: FastAPI, workspace: Workspace, standard: Sender, stack: TestStack
) -> None:
    async with metrics_app.state.database.tenant(workspace.id) as session:
        row = (await session.execute(text("SELECT source::text AS all, credentials FROM source"))).one()
    assert SECRET not in row.all
    assert SECRET.encode().hex() not in row.all
    assert standard.path.rpartition("/")[2] not in row.all
    sealer = Sealer(stack.settings("metrics").secret_key, "source-credentials")
    place = f"{workspace.id}/{standard.source_id}"
    assert SECRET.encode() in sealer.open(row.credentials, place)
    with pytest.raises(SealBrokenError):
        sealer.open(row.credentials, f"{workspace.id}/{workspace.id}")
    with pytest.raises(SealBrokenError):
        Sealer(stack.settings("metrics").secret_key, "another purpose").open(row.credentials, place)


async def test_no_secret_of_a_source_ever_prints(metrics_app: FastAPI, standard: Sender) -> None:
    known = await metrics_app.state.sources.find(standard.path.rpartition("/")[2], START)
    assert known.credentials == {"signing_secret": SECRET}
    create = SourceCreate.model_validate(
        {"platform": "standard", "name": "x", "credentials": {"signing_secret": SECRET}}
    )
    created = SourceCreated(
        id=known.id,
        platform=known.platform,
        name="x",
        state=known.state,
        campaign_by=["tags"],
        honeypots=[],
        bot_networks=[],
        created_at=START,
        received_at=None,
        old_token_ends_at=None,
        old_credentials_end_at=None,
        version=1,
        webhook_url=SECRET,
    )
    for each in (known, create, create.credentials, created):
        assert SECRET not in repr(each)
        assert SECRET not in str(each)


@pytest.mark.parametrize(
    ("platform", "credentials", "field"),
    [
        ("sendgrid", {}, "credentials.public_key"),
        ("sendgrid", {"public_key": "nonsense"}, "credentials.public_key"),
        ("sendgrid", {"public_key": P384}, "credentials.public_key"),
        ("sendgrid", {"public_key": RSA}, "credentials.public_key"),
        ("sendgrid", {"public_key": P256, "signing_secret": SECRET}, "credentials.signing_secret"),
        ("standard", {"public_key": P256}, "credentials.signing_secret"),
        ("standard", {"signing_secret": SECRET.removeprefix("whsec_")}, "credentials.signing_secret"),
        ("standard", {"signing_secret": "whsec_c2hvcnQ="}, "credentials.signing_secret"),
        ("standard", {"signing_secret": SECRET, "other": "x"}, "credentials.other"),
        ("postmark", {}, "credentials.username"),
        ("pigeon", {}, "platform"),
    ],
)
async def test_credentials_that_can_not_be_any_are_refused_by_name(
    metrics: httpx.AsyncClient, platform: str, credentials: dict[str, str], field: str
) -> None:
    answer = await metrics.post("/v1/sources", json={"platform": platform, "name": "x", "credentials": credentials})
    assert answer.status_code == 422
    assert field in [error["field"] for error in answer.json()["errors"]]


async def test_a_source_is_its_workspaces_alone(
    connect: Connect, sendgrid: Sender, workspace: Workspace, other_workspace: Workspace
) -> None:
    stranger = connect("metrics", other_workspace)
    assert (await stranger.get(f"/v1/sources/{sendgrid.source_id}")).status_code == 404
    assert (await stranger.get("/v1/sources")).json()["items"] == []
    reader = connect("metrics", workspace, "stakeholder")
    assert (await reader.get("/v1/sources")).status_code == 200
    refused = await reader.post("/v1/sources", json={"platform": "sendgrid", "name": "x", "credentials": {}})
    assert refused.status_code == 403
