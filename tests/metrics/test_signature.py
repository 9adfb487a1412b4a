"""Whose posts are believed."""

import base64
import string
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from standardwebhooks import Webhook

from chassis.testing import Clock
from services.metrics.source.platforms.platform import Delivery, Platform
from services.metrics.source.platforms.sendgrid import SIGNATURE, TIMESTAMP, Sendgrid
from services.metrics.source.platforms.standard import Standard
from tests.metrics.conftest import SECRET, Sender, public_text, sendgrid_headers, standard_headers
from tests.parts import Workspace

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
CREDENTIALS = {"public_key": public_text(KEY)}
BODY = b'[{"event":"open","email":"ann@example.com","timestamp":1767225600}]'


def trusted(
    platform: Platform, credentials: dict[str, Any], headers: dict[str, str], body: bytes, now: datetime
) -> bool:
    return platform.verify(credentials, Delivery("POST", "https://a.example/v1/webhooks/x", headers, body, now))


Edit = tuple[str, int, str]
edits = st.tuples(
    st.sampled_from(["replace", "insert", "delete"]), st.integers(0, 400), st.sampled_from(string.printable)
)


def edited(text: str, edit: Edit) -> str:
    kind, place, character = edit
    place %= len(text) + (kind == "insert")
    return text[:place] + ("" if kind == "delete" else character) + text[place + (kind != "insert") :]


@given(st.sampled_from(["body", SIGNATURE, TIMESTAMP]), edits)
def test_no_change_to_a_sendgrid_post_is_accepted(part: str, edit: Edit) -> None:
    post = {"body": BODY.decode(), **sendgrid_headers(KEY, BODY, "1767225600")}
    changed = {**post, part: edited(post[part], edit)}
    accepted = trusted(Sendgrid(), CREDENTIALS, changed, changed["body"].encode(), NOW)
    assert accepted == (changed == post)


@given(st.sampled_from(["body", "webhook-id", "webhook-timestamp", "webhook-signature"]), edits)
def test_no_change_to_a_standard_post_is_accepted(part: str, edit: Edit) -> None:
    post = {"body": BODY.decode(), **standard_headers(BODY, NOW)}
    changed = {**post, part: edited(post[part], edit)}
    accepted = trusted(Standard(), {"signing_secret": SECRET}, changed, changed["body"].encode(), NOW)
    # A space around the signature leaves it whole: the header holds a list of them.
    whole = changed["webhook-signature"].split(" ") if part == "webhook-signature" else []
    assert accepted == (changed == post or post["webhook-signature"] in whole)


@given(st.integers(1, 10))
def test_digits_can_not_move_from_the_timestamp_into_the_body_or_back(moved: int) -> None:
    headers = sendgrid_headers(KEY, BODY, "1767225600")
    timestamp = headers[TIMESTAMP]
    fewer = {**headers, TIMESTAMP: timestamp[:-moved]}
    assert not trusted(Sendgrid(), CREDENTIALS, fewer, timestamp[-moved:].encode() + BODY, NOW)
    more = {**headers, TIMESTAMP: timestamp + BODY[:moved].decode()}
    assert not trusted(Sendgrid(), CREDENTIALS, more, BODY[moved:], NOW)


def test_another_spelling_of_the_same_signature_is_refused() -> None:
    headers = sendgrid_headers(KEY, BODY, "1767225600")
    raw = base64.b64decode(headers[SIGNATURE])
    for spelling in (headers[SIGNATURE] + "\n", headers[SIGNATURE].rstrip("="), raw.hex()):
        if spelling != headers[SIGNATURE]:
            assert not trusted(Sendgrid(), CREDENTIALS, {**headers, SIGNATURE: spelling}, BODY, NOW)


def test_a_sendgrid_signature_holds_however_late_it_comes() -> None:
    headers = sendgrid_headers(KEY, BODY, "1000000000")
    assert trusted(Sendgrid(), CREDENTIALS, headers, BODY, NOW + timedelta(days=365))


def test_another_accounts_key_is_not_believed() -> None:
    assert not trusted(Sendgrid(), CREDENTIALS, sendgrid_headers(OTHER_KEY, BODY, "1767225600"), BODY, NOW)


@pytest.mark.parametrize(("seconds", "holds"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)])
def test_a_standard_signature_holds_for_five_minutes(seconds: int, holds: bool) -> None:
    headers = standard_headers(BODY, NOW + timedelta(seconds=seconds))
    assert trusted(Standard(), {"signing_secret": SECRET}, headers, BODY, NOW) is holds


def test_any_of_several_signatures_and_either_vendors_headers_will_do() -> None:
    for prefix in ("webhook", "svix"):
        headers = standard_headers(BODY, NOW, prefix=prefix)
        old = Webhook(base64.b64encode(b"an older secret")).sign(headers[f"{prefix}-id"], NOW, BODY.decode())
        headers[f"{prefix}-signature"] = f"v1a,abc {old} " + headers[f"{prefix}-signature"]
        assert trusted(Standard(), {"signing_secret": SECRET}, headers, BODY, NOW)


def test_text_can_not_move_between_the_id_the_time_and_the_body() -> None:
    body = b"1767225600.[]"
    headers = standard_headers(body, NOW)
    shifted = {**headers, "webhook-id": f"{headers['webhook-id']}.{headers['webhook-timestamp']}"}
    late = datetime.fromtimestamp(1767225600, UTC)
    assert not trusted(
        Standard(), {"signing_secret": SECRET}, {**shifted, "webhook-timestamp": "1767225600"}, b"[]", late
    )


async def _rows(app: FastAPI, workspace: Workspace) -> int:
    async with app.state.database.tenant(workspace.id) as session:
        count = (
            "SELECT (SELECT count(*) FROM occurrence) + (SELECT count(*) FROM quarantine)"
            " + (SELECT count(*) FROM recipient)"
        )
        return int(await session.scalar(text(count)) or 0)


async def test_a_forgery_is_refused_and_leaves_nothing(
    sendgrid: Sender, standard: Sender, metrics_app: FastAPI, workspace: Workspace, clock: Clock
) -> None:
    forged = sendgrid_headers(OTHER_KEY, BODY, "1767225600")
    old = standard_headers(BODY, clock.now - timedelta(hours=1))
    attempts: list[tuple[Sender, Any]] = [
        (sendgrid, {}), (sendgrid, forged), (sendgrid, {**forged, SIGNATURE: "é".encode("latin-1")}),
        (standard, {}), (standard, forged), (standard, old),
    ]  # fmt: skip
    for sender, headers in attempts:
        answer = await sender.http.post(sender.path, content=BODY, headers=headers)
        assert answer.status_code == 403, answer.text
        assert answer.json()["code"] == "signature_invalid"
    assert await _rows(metrics_app, workspace) == 0


async def test_an_unknown_address_tells_nothing(sendgrid: Sender, metrics: httpx.AsyncClient) -> None:
    for token in ("x", "%F0%9F%98%80", "a" * 5000, sendgrid.path.rpartition("/")[2][:-1]):
        answer = await metrics.post(f"/v1/webhooks/{token}", content=BODY)
        assert answer.status_code == 404
        assert answer.json()["detail"] == "there is no webhook at this address"
    assert (await metrics.post("/v1/webhooks/%00", content=BODY)).status_code == 422


async def test_a_post_over_the_limit_is_refused_whole(sendgrid: Sender) -> None:
    assert (await sendgrid.post_bytes(b" " * 16_000_001)).status_code == 413
