"""What an asset's way from draft to published promises."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from chassis.db import Database
from chassis.errors import Conflict
from gateway.identity.token.signing import Grant, access_token
from services.assets.asset.rules import AssetAction, AssetKind, AssetState, fits_kind, next_state
from tests.assets.uploads import PNG, replace, upload
from tests.parts import Workspace


def as_somebody(app: FastAPI, workspace: Workspace, name: str, *scopes: str) -> httpx.AsyncClient:
    grant = Grant(f"client:{name}", name, workspace.id, [], sorted(scopes), timedelta(days=1))
    token = access_token(grant, workspace.stack.key, "http://gateway", workspace.stack.clock.now)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://assets", headers={"Authorization": f"Bearer {token}"}
    )


@pytest.fixture
def writer(apps: dict[str, FastAPI], workspace: Workspace) -> httpx.AsyncClient:
    return as_somebody(apps["assets"], workspace, "writer", "assets:read", "assets:write", "assets:approve")


@pytest.fixture
def approver(apps: dict[str, FastAPI], workspace: Workspace) -> httpx.AsyncClient:
    return as_somebody(apps["assets"], workspace, "approver", "assets:read", "assets:write", "assets:approve")


async def step(client: httpx.AsyncClient, asset: dict[str, Any], verb: str, **body: Any) -> httpx.Response:
    return await client.post(f"/v1/assets/{asset['id']}/{verb}", json=body or None)


async def stepped(client: httpx.AsyncClient, asset: dict[str, Any], *verbs: str) -> dict[str, Any]:
    for verb in verbs:
        answer = await step(client, asset, verb)
        assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def told(apps: dict[str, FastAPI], workspace: Workspace) -> list[tuple[str, int]]:
    database: Database = apps["assets"].state.database
    async with database.tenant(workspace.id) as session:
        rows = await session.execute(text("SELECT type, data FROM outbox ORDER BY id"))
        return [(row.type.removeprefix("assets.asset."), row.data["version_number"]) for row in rows]


async def test_an_asset_goes_from_draft_to_published_and_each_step_is_kept_and_told(
    writer: httpx.AsyncClient, approver: httpx.AsyncClient, apps: dict[str, FastAPI], workspace: Workspace
) -> None:
    asset = await upload(writer)
    assert (await stepped(writer, asset, "submit"))["state"] == "in_review"
    back = await step(approver, asset, "send-back", reason="Wrong blue")
    assert (back.status_code, back.json()["state"]) == (200, "draft")
    await replace(writer, asset, PNG + b" in the right blue")
    await stepped(writer, asset, "submit")
    assert (await stepped(approver, asset, "approve"))["state"] == "approved"
    out = await stepped(writer, asset, "publish")
    assert (out["state"], out["published_version"]) == ("published", 2)
    steps = (await writer.get("/v1/asset-steps", params={"asset_id": asset["id"]})).json()["items"]
    assert [(each["action"], each["to_state"], each["version_number"], each["taken_by"]) for each in steps] == [
        ("submit", "in_review", 1, "client:writer"), ("send_back", "draft", 1, "client:approver"),
        ("replace", "draft", 2, "client:writer"), ("submit", "in_review", 2, "client:writer"),
        ("approve", "approved", 2, "client:approver"), ("publish", "published", 2, "client:writer"),
    ]  # fmt: skip
    assert [each["reason"] for each in steps if each["reason"]] == ["Wrong blue"]
    assert await told(apps, workspace) == [
        ("created", 1), ("submitted", 1), ("sent_back", 1), ("replaced", 2), ("submitted", 2), ("approved", 2),
        ("published", 2),
    ]  # fmt: skip


async def test_nobody_approves_what_they_uploaded(writer: httpx.AsyncClient, approver: httpx.AsyncClient) -> None:
    asset = await upload(writer)
    await stepped(writer, asset, "submit")
    own = await step(writer, asset, "approve")
    assert (own.status_code, own.json()["code"]) == (403, "own_upload")
    await replace(approver, asset, PNG + b" mine now")
    await stepped(writer, asset, "submit")
    assert (await step(approver, asset, "approve")).json()["code"] == "own_upload"
    assert (await stepped(writer, asset, "approve"))["state"] == "approved"


async def test_a_new_version_is_a_draft_while_the_published_one_stays_out(
    writer: httpx.AsyncClient, approver: httpx.AsyncClient
) -> None:
    asset = await upload(writer)
    await stepped(writer, asset, "submit")
    await stepped(approver, asset, "approve", "publish")
    new = (await replace(writer, asset, PNG + b" new")).json()
    assert (new["state"], new["current_version"], new["published_version"]) == ("draft", 2, 1)
    assert (await step(approver, asset, "publish")).json()["code"] == "wrong_state"


async def test_an_archived_asset_rests_until_it_is_restored(writer: httpx.AsyncClient) -> None:
    asset = await upload(writer)
    archived = await stepped(writer, asset, "archive")
    assert (archived["state"], archived["published_version"]) == ("archived", None)
    assert (await writer.get(asset["content_url"])).content == PNG
    for answer in (await step(writer, asset, "submit"), await replace(writer, asset, PNG + b" new")):
        assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")
    assert (await stepped(writer, asset, "restore"))["state"] == "draft"
    assert (await writer.delete(f"/v1/assets/{asset['id']}")).status_code == 405


async def test_a_photo_that_is_none_is_a_draft_and_no_more(writer: httpx.AsyncClient) -> None:
    asset = await upload(writer, b"%PDF-1.7\n", kind="photo")
    assert asset["fits_kind"] is False
    refused = await step(writer, asset, "submit")
    assert (refused.status_code, refused.json()["code"]) == (409, "wrong_kind")
    edited = await writer.patch(f"/v1/assets/{asset['id']}", json={"kind": "document"}, headers={"If-Match": "*"})
    assert edited.json()["fits_kind"] is True
    await stepped(writer, asset, "submit")
    back = await writer.patch(f"/v1/assets/{asset['id']}", json={"kind": "photo"}, headers={"If-Match": "*"})
    assert back.json()["code"] == "wrong_kind"


async def test_a_step_can_ask_for_the_version_that_was_seen(writer: httpx.AsyncClient) -> None:
    asset = await upload(writer)
    await replace(writer, asset, PNG + b" new")
    stale = await writer.post(f"/v1/assets/{asset['id']}/submit", headers={"If-Match": str(asset["version"])})
    assert stale.status_code == 412


async def test_who_may_not_does_not(apps: dict[str, FastAPI], workspace: Workspace, writer: httpx.AsyncClient) -> None:
    asset = await upload(writer)
    await stepped(writer, asset, "submit")
    specialist = as_somebody(apps["assets"], workspace, "specialist", "assets:read", "assets:write")
    reader = as_somebody(apps["assets"], workspace, "reader", "assets:read")
    for verb in ("approve", "send-back"):
        assert (await step(specialist, asset, verb, reason="No")).status_code == 403
    for verb in ("submit", "publish", "archive", "restore"):
        assert (await step(reader, asset, verb)).status_code == 403
    assert (await step(writer, asset, "send-back")).status_code == 422


def test_every_step_that_is_not_named_is_refused() -> None:
    found = {(state, action) for state in AssetState for action in AssetAction if _leads(state, action)}
    draft, review, approved, published, archived = AssetState
    anywhere = {(state, action) for state in (draft, review, approved, published)
                for action in (AssetAction.ARCHIVE, AssetAction.REPLACE)}  # fmt: skip
    assert found == anywhere | {
        (draft, AssetAction.SUBMIT), (review, AssetAction.APPROVE), (review, AssetAction.SEND_BACK),
        (approved, AssetAction.SEND_BACK), (approved, AssetAction.PUBLISH), (archived, AssetAction.RESTORE),
    }  # fmt: skip


def _leads(state: AssetState, action: AssetAction) -> bool:
    try:
        next_state(state, action)
    except Conflict:
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "media_type", "fits"),
    [
        (AssetKind.PHOTO, "image/jpeg", True), (AssetKind.PHOTO, "application/pdf", False),
        (AssetKind.PHOTO, "application/octet-stream", None), (AssetKind.LOGO, "image/svg+xml", True),
        (AssetKind.VIDEO, "text/plain", False), (AssetKind.DOCUMENT, "video/mp4", True),
        (AssetKind.LANDING_PAGE, "text/html", True),
    ],
)  # fmt: skip
def test_a_kind_is_made_of_some_media_types(kind: AssetKind, media_type: str, fits: bool | None) -> None:
    assert fits_kind(kind, media_type) is fits


async def test_a_version_and_a_step_are_never_rewritten(
    writer: httpx.AsyncClient, apps: dict[str, FastAPI], workspace: Workspace
) -> None:
    await stepped(writer, await upload(writer), "submit")
    database: Database = apps["assets"].state.database
    for statement in (
        "UPDATE asset_version SET number = 9", "DELETE FROM asset_version", "DELETE FROM asset_step",
        "UPDATE asset_step SET taken_by = 'x'",
    ):  # fmt: skip
        with pytest.raises(ProgrammingError, match="permission denied"):
            async with database.tenant(workspace.id) as session:
                await session.execute(text(statement))
