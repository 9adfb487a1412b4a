"""What versions of assets promise: bytes that never change, whole or in part."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from email import message_from_bytes
from typing import Any
from uuid import uuid4

import httpx
import pytest

from chassis.testing import Clock
from tests.assets.uploads import PNG, replace, upload
from tests.parts import Connect, Workspace

OLD, NEW = PNG, PNG + b" in blue"
TEN = b"0123456789"


async def test_a_new_version_has_an_address_of_its_own_and_the_old_one_stays(
    assets: httpx.AsyncClient, clock: Clock
) -> None:
    first = await upload(assets, OLD)
    clock.forward(hours=1)
    answer = await replace(assets, first, NEW)
    assert answer.status_code == 201, answer.text
    second = answer.json()
    assert (second["id"], second["current_version"], second["sha256"]) == (
        first["id"],
        2,
        hashlib.sha256(NEW).hexdigest(),
    )
    assert (second["filename"], second["uploaded_at"]) == ("new.png", "2026-06-15T13:00:00Z")
    assert first["content_url"].endswith(f"/v1/assets/{first['id']}/content")
    assert second["content_url"].endswith(f"/v1/assets/{first['id']}/versions/2/content")
    also_first = f"/v1/assets/{first['id']}/versions/1/content"
    for url, content in ((first["content_url"], OLD), (also_first, OLD), (second["content_url"], NEW)):
        got = await assets.get(url)
        assert (got.content, got.headers["etag"]) == (content, f'"{hashlib.sha256(content).hexdigest()}"')
        assert "immutable" in got.headers["cache-control"]
    versions = (await assets.get("/v1/asset-versions", params={"asset_id": first["id"]})).json()["items"]
    assert [(each["number"], each["content_url"]) for each in versions] == [
        (1, first["content_url"]), (2, second["content_url"]),
    ]  # fmt: skip
    assert (await assets.get(f"/v1/assets/{first['id']}/versions/1")).json() == versions[0]
    assert (await assets.get(f"/v1/assets/{first['id']}/versions/3")).status_code == 404


async def test_versions_are_found_by_bytes_and_in_groups(assets: httpx.AsyncClient) -> None:
    one, other = await upload(assets, OLD), await upload(assets, OLD)
    await replace(assets, one, NEW)
    by_bytes: dict[str, Any] = {"sha256": one["sha256"]}
    found = (await assets.get("/v1/asset-versions", params=by_bytes)).json()["items"]
    assert [each["asset_id"] for each in found] == [one["id"], other["id"]]
    asked: dict[str, Any] = {"asset_id": [other["id"], one["id"]], "limit_per": 5}
    groups = (await assets.get("/v1/asset-versions", params=asked)).json()["groups"]
    assert [[each["number"] for each in group["items"]] for group in groups] == [[1], [1, 2]]


async def test_versions_that_come_at_once_are_numbered_one_by_one(assets: httpx.AsyncClient) -> None:
    asset = await upload(assets, OLD)
    answers = await asyncio.gather(*(replace(assets, asset, NEW + bytes([32 + n])) for n in range(6)))
    assert sorted(answer.json()["current_version"] for answer in answers) == [2, 3, 4, 5, 6, 7]
    listed = (await assets.get("/v1/asset-versions", params={"asset_id": asset["id"]})).json()["items"]
    assert [each["number"] for each in listed] == [1, 2, 3, 4, 5, 6, 7]


async def test_a_page_is_held_against_the_kind_that_the_asset_has_when_it_has_come(assets: httpx.AsyncClient) -> None:
    page = await upload(assets, b"<html>old</html>", kind="landing_page")
    text = (await replace(assets, page, b"plain")).json()
    request = assets.build_request("POST", "/", files={"file": b"<html>new</html>"})

    async def body() -> AsyncIterator[bytes]:
        edit = {"kind": "document"}
        url, seen = f"/v1/assets/{page['id']}", {"If-Match": str(text["version"])}
        assert (await assets.patch(url, json=edit, headers=seen)).status_code == 200
        yield await request.aread()

    headers = {"Content-Type": request.headers["content-type"]}
    answer = await assets.post(f"/v1/assets/{page['id']}/versions", content=body(), headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "markup")


async def test_the_same_bytes_are_no_new_version(assets: httpx.AsyncClient) -> None:
    asset = await upload(assets, OLD)
    again = await replace(assets, asset, OLD)
    assert (again.status_code, again.json()["code"]) == (409, "same_bytes")
    await replace(assets, asset, NEW)
    assert (await replace(assets, asset, OLD)).json()["current_version"] == 3


async def test_a_new_version_is_a_file_alone_of_an_asset_of_ours(
    assets: httpx.AsyncClient, connect: Connect, other_workspace: Workspace
) -> None:
    asset = await upload(assets)
    url = f"/v1/assets/{asset['id']}/versions"
    more = await assets.post(url, files={"file": ("a", NEW)}, data={"title": "New"})
    none = await assets.post(url, files={"other": ("a", NEW)})
    assert [answer.json()["errors"][0]["field"] for answer in (more, none)] == ["title", "other"]
    assert (await replace(assets, asset, b"<html>")).json()["errors"][0]["code"] == "markup"
    assert (await replace(connect("assets", other_workspace), asset, NEW)).status_code == 404
    assert (await replace(assets, {"id": uuid4()}, NEW)).status_code == 404


@pytest.mark.parametrize(
    ("asked", "given", "content_range"),
    [
        ("bytes=0-0", b"0", "bytes 0-0/10"), ("bytes=7-", b"789", "bytes 7-9/10"), ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=2-99", b"23456789", "bytes 2-9/10"), ("bytes=1-2,3-4", b"1234", "bytes 1-4/10"),
    ],
)  # fmt: skip
async def test_a_part_of_the_bytes_can_be_asked_for(
    assets: httpx.AsyncClient, asked: str, given: bytes, content_range: str
) -> None:
    asset = await upload(assets, TEN, kind="message")
    part = await assets.get(asset["content_url"], headers={"Range": asked})
    assert (part.status_code, part.content) == (206, given)
    headers = part.headers
    assert (headers["content-range"], headers["content-length"]) == (content_range, str(len(given)))
    assert headers["etag"] == f'"{asset["sha256"]}"'
    assert headers["content-disposition"].startswith("attachment")


async def test_several_parts_come_as_one_answer(assets: httpx.AsyncClient) -> None:
    asset = await upload(assets, TEN, kind="message")
    several = await assets.get(asset["content_url"], headers={"Range": "bytes=0-1,8-,4-5"})
    assert several.status_code == 206
    assert int(several.headers["content-length"]) == len(several.content)
    message = message_from_bytes(f"Content-Type: {several.headers['content-type']}\r\n\r\n".encode() + several.content)
    parts = message.get_payload()
    assert [(part["content-range"], part.get_payload()) for part in parts] == [  # type: ignore[union-attr,index]
        ("bytes 0-1/10", "01"), ("bytes 8-9/10", "89"), ("bytes 4-5/10", "45"),
    ]  # fmt: skip


async def test_bytes_that_do_not_exist_are_not_given(assets: httpx.AsyncClient) -> None:
    asset = await upload(assets, TEN, kind="message")
    beyond = await assets.get(asset["content_url"], headers={"Range": "bytes=10-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */10")
    assert beyond.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "headers",
    [{"Range": "lines=1"}, {"Range": "bytes=5-1"}, {"Range": "bytes=0-1", "If-Range": '"other"'},
     {"Range": "bytes=99-", "If-Range": "Mon, 01 Jan 2024 00:00:00 GMT"}],
)  # fmt: skip
async def test_a_range_that_does_not_hold_gets_the_whole(assets: httpx.AsyncClient, headers: dict[str, str]) -> None:
    asset = await upload(assets, TEN, kind="message")
    whole = await assets.get(asset["content_url"], headers=headers)
    assert (whole.status_code, whole.content, whole.headers["accept-ranges"]) == (200, TEN, "bytes")


async def test_a_range_of_the_same_bytes_holds_and_heads_have_none(assets: httpx.AsyncClient) -> None:
    asset = await upload(assets, TEN, kind="message")
    asked = {"Range": "bytes=1-2", "If-Range": f'"{asset["sha256"]}"'}
    assert (await assets.get(asset["content_url"], headers=asked)).content == b"12"
    head = await assets.head(asset["content_url"], headers=asked)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "10", b"")
    fresh = await assets.get(asset["content_url"], headers=asked | {"If-None-Match": f'"{asset["sha256"]}"'})
    assert fresh.status_code == 304


async def test_versions_are_not_seen_by_others_nor_replaced_by_readers(
    assets: httpx.AsyncClient, connect: Connect, workspace: Workspace, other_workspace: Workspace
) -> None:
    asset = await upload(assets, OLD)
    await replace(assets, asset, NEW)
    theirs, reader = connect("assets", other_workspace), connect("assets", workspace, "stakeholder")
    for path in ("versions/1", "versions/2", "versions/2/content"):
        url = f"/v1/assets/{asset['id']}/{path}"
        assert (await reader.get(url)).status_code == 200
        assert (await theirs.get(url)).status_code == 404
        assert (await theirs.head(url)).status_code in (404, 405)
    for params in ({"asset_id": asset["id"]}, {"sha256": asset["sha256"]}):
        assert (await theirs.get("/v1/asset-versions", params=params)).json()["items"] == []
    assert (await replace(reader, asset, OLD)).status_code == 403
