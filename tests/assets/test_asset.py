"""What an asset promises."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from chassis.testing import Clock, TestStack
from services.assets.version.objects import BLOCK
from tests.assets.uploads import PNG, send, upload
from tests.parts import Connect, Workspace


def wrong_fields(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return [error["field"] for error in answer.json()["errors"]]


@pytest.fixture
def kept(stack: TestStack, workspace: Workspace) -> Path:
    """Where this workspace's bytes lie."""
    return stack.home / "assets" / str(workspace.id)


def files_below(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


async def test_an_asset_begins_as_a_draft_and_says_what_it_is(assets: httpx.AsyncClient) -> None:
    spring, autumn = str(uuid4()), str(uuid4())
    asset = await upload(assets, campaign_id=[spring, autumn, spring])
    assert asset.items() >= {
        "title": "Logo", "kind": "logo", "state": "draft", "filename": "logo.png", "media_type": "image/png",
        "size": len(PNG), "sha256": hashlib.sha256(PNG).hexdigest(), "campaign_ids": [spring, autumn],
        "content_url": f"http://assets/v1/assets/{asset['id']}/content",
    }.items()  # fmt: skip
    assert (await assets.get(f"/v1/assets/{asset['id']}")).json() == asset


async def test_bytes_come_back_as_they_were_to_be_saved_and_never_run(assets: httpx.AsyncClient) -> None:
    asset = await upload(assets, b"<script>alert(1)</script>", "Grö;ße.html", kind="email_template")
    content = await assets.get(asset["content_url"])
    assert content.status_code == 200
    assert content.content == b"<script>alert(1)</script>"
    headers = content.headers
    assert headers["content-type"].startswith("text/plain")
    assert headers["content-disposition"].startswith("attachment; ")
    assert "filename*=UTF-8''Gr%C3%B6%3B%C3%9Fe.html" in headers["content-disposition"]
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]
    assert headers["content-length"] == str(asset["size"])
    assert headers["etag"] == f'"{asset["sha256"]}"'
    assert {"private", "immutable"} <= set(headers["cache-control"].split(", "))


async def test_who_has_the_bytes_gets_none(assets: httpx.AsyncClient) -> None:
    asset = await upload(assets)
    content = await assets.get(asset["content_url"], headers={"If-None-Match": f'"{asset["sha256"]}"'})
    assert (content.status_code, content.content) == (304, b"")
    assert content.headers["etag"] == f'"{asset["sha256"]}"'
    other = await assets.get(asset["content_url"], headers={"If-None-Match": '"other"'})
    assert other.content == PNG


async def test_the_headers_can_be_asked_for_alone(assets: httpx.AsyncClient) -> None:
    asset = await upload(assets)
    head, whole = await assets.head(asset["content_url"]), await assets.get(asset["content_url"])
    assert (head.status_code, head.content) == (200, b"")
    names = ("etag", "content-length", "content-type", "content-disposition", "cache-control")
    assert [head.headers[name] for name in names] == [whole.headers[name] for name in names]


@pytest.mark.parametrize(
    ("data", "files", "field"),
    [
        ({"kind": "logo"}, {"file": PNG}, "title"),
        ({"title": "Logo"}, {"file": PNG}, "kind"),
        ({"title": "Logo", "kind": "logo"}, {"other": PNG}, "file"),
        ({"title": "Logo", "kind": "song"}, {"file": PNG}, "kind"),
        ({"title": " ", "kind": "logo"}, {"file": PNG}, "title"),
        ({"title": "x" * 201, "kind": "logo"}, {"file": PNG}, "title"),
        ({"title": ["a", "b"], "kind": "logo"}, {"file": PNG}, "title"),
        ({"title": "Logo", "kind": "logo", "campaign_id": ["spring"]}, {"file": PNG}, "campaign_id.0"),
        ({"title": "Logo", "kind": "logo", "campaign_id": [str(uuid4()) for _ in range(51)]}, {"file": PNG},
         "campaign_id"),
        ({"title": "Logo", "kind": "logo", "colour": "red"}, {"file": PNG}, "colour"),
        ({"title": "Logo", "kind": "logo"}, {"file": b""}, "file"),
    ],
)  # fmt: skip
async def test_an_upload_that_makes_no_sense_is_refused_by_its_field(
    assets: httpx.AsyncClient, kept: Path, data: dict[str, Any], files: dict[str, bytes], field: str
) -> None:
    named = {name: ("logo.png", content) for name, content in files.items()}
    refused = await assets.post("/v1/assets", data=data, files=named)
    assert field in wrong_fields(refused)
    assert files_below(kept) == []


async def test_an_upload_has_one_file_and_few_short_fields(assets: httpx.AsyncClient) -> None:
    data = {"title": "Logo", "kind": "logo"}
    two = await assets.post("/v1/assets", data=data, files=[("file", ("a", PNG)), ("file", ("b", PNG))])
    many = await send(assets, PNG, campaign_id=[str(uuid4())] * 200)
    long = await send(assets, PNG, title="x" * 20_000)
    assert [answer.status_code for answer in (two, many, long)] == [422] * 3
    assert [answer.json()["code"] for answer in (two, many, long)] == ["multipart"] * 3


async def test_only_multipart_is_an_upload(assets: httpx.AsyncClient) -> None:
    assert (await assets.post("/v1/assets", json={"title": "Logo"})).status_code == 415
    assert (await assets.post("/v1/assets", data={"title": "Logo"})).status_code == 415
    broken = await assets.post("/v1/assets", content=b"x", headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert broken.status_code == 422


async def test_a_file_that_is_too_large_is_refused_whether_or_not_its_size_is_announced(
    assets: httpx.AsyncClient, apps: dict[str, FastAPI], monkeypatch: pytest.MonkeyPatch, kept: Path
) -> None:
    monkeypatch.setattr(apps["assets"].state.settings, "upload_limit", 100_000)
    announced = await send(assets, b"x" * 100_001)
    request = assets.build_request(
        "POST", "/v1/assets", data={"title": "Logo", "kind": "logo"}, files={"file": b"x" * 100_001}
    )

    async def body() -> AsyncIterator[bytes]:
        async for block in request.stream:  # type: ignore[union-attr]
            yield block

    unannounced = await assets.post(
        "/v1/assets", content=body(), headers={"Content-Type": request.headers["content-type"]}
    )
    for answer in (announced, unannounced):
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert files_below(kept) == []


async def test_the_same_bytes_twice_are_two_assets_and_one_object(assets: httpx.AsyncClient, kept: Path) -> None:
    first = await upload(assets, name="a.png")
    (only,) = files_below(kept)
    before = only.stat()
    again = await upload(assets, name="b.png", title="Again")
    assert files_below(kept) == [only]
    assert (only.stat().st_ino, only.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert first["id"] != again["id"]
    assert (await assets.get(again["content_url"])).content == PNG


async def test_the_same_bytes_at_once_are_one_object_and_leave_nothing_behind(
    assets: httpx.AsyncClient, kept: Path, stack: TestStack
) -> None:
    content = os.urandom(3_000_000)
    uploaded = await asyncio.gather(*(upload(assets, content, f"{number}.bin") for number in range(8)))
    assert len({asset["id"] for asset in uploaded}) == 8
    (only,) = files_below(kept)
    assert only.read_bytes() == content
    assert files_below(stack.home / "assets" / "incoming") == []


async def test_workspaces_with_the_same_bytes_share_no_object(
    assets: httpx.AsyncClient, connect: Connect, other_workspace: Workspace, stack: TestStack, kept: Path
) -> None:
    ours = await upload(assets)
    theirs = await upload(connect("assets", other_workspace))
    assert ours["sha256"] == theirs["sha256"]
    (our_object,), (their_object,) = files_below(kept), files_below(stack.home / "assets" / str(other_workspace.id))
    assert not our_object.samefile(their_object)


async def test_another_workspace_learns_nothing_of_our_assets(
    assets: httpx.AsyncClient, connect: Connect, other_workspace: Workspace
) -> None:
    campaign = str(uuid4())
    asset = await upload(assets, campaign_id=campaign)
    theirs = connect("assets", other_workspace)
    tag = {"If-None-Match": f'"{asset["sha256"]}"'}
    assert (await theirs.get(f"/v1/assets/{asset['id']}")).status_code == 404
    for headers in ({}, tag):
        assert (await theirs.get(asset["content_url"], headers=headers)).status_code == 404
        assert (await theirs.head(asset["content_url"], headers=headers)).status_code == 404
    for params in ({"id": asset["id"]}, {"campaign_id": campaign}, {"kind": "logo"}):
        assert (await theirs.get("/v1/assets", params=params)).json()["items"] == []
    (group,) = (await theirs.get("/v1/assets", params={"campaign_id": campaign, "limit_per": 5})).json()["groups"]
    assert group["items"] == []


async def call(
    app: FastAPI, method: str, path: str, headers: dict[str, str], *,
    body: Sequence[dict[str, Any]] = (), see: Callable[[bytes], None] = lambda _: None,
) -> tuple[int, int]:  # fmt: skip
    """One request without a client between: its status, and how often the app asked for the body. `see` gets every
    block of the answer as it leaves."""
    messages = iter(body)
    asked, status = 0, 0

    async def receive() -> Any:
        nonlocal asked
        asked += 1
        return next(messages, None) or await asyncio.Event().wait()  # the caller stays and says no more

    async def answer(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)
        see(message.get("body", b""))

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "http_version": "1.1", "scheme": "http", "server": ("assets", 80), "asgi": {"version": "3.0"},
    }  # fmt: skip
    await app(scope, receive, answer)
    return status, asked


async def test_a_large_file_comes_back_the_same_block_by_block_while_no_connection_is_held(
    assets: httpx.AsyncClient, apps: dict[str, FastAPI], workspace: Workspace
) -> None:
    content = os.urandom(21 * 1024 * 1024 + 1)
    asset = await upload(assets, content, "film.mp4", kind="video")
    assert asset["sha256"] == hashlib.sha256(content).hexdigest()
    assert asset["size"] == len(content)
    pool = apps["assets"].state.database.engine.pool
    digest, sizes, held = hashlib.sha256(), [], set()

    def see(block: bytes) -> None:
        digest.update(block)
        sizes.append(len(block))
        held.add(pool.checkedout())

    status, _ = await call(apps["assets"], "GET", f"/v1/assets/{asset['id']}/content", workspace.headers(), see=see)
    assert status == 200
    assert digest.hexdigest() == asset["sha256"]
    assert sum(sizes) == len(content)
    assert max(sizes) <= 2 * BLOCK
    assert held == {0}


async def test_a_slow_sender_holds_no_connection(assets: httpx.AsyncClient, apps: dict[str, FastAPI]) -> None:
    pool = apps["assets"].state.database.engine.pool
    request = assets.build_request(
        "POST", "/v1/assets", data={"title": "Logo", "kind": "logo"}, files={"file": b"x" * 200_000}
    )
    held = set()

    async def body() -> AsyncIterator[bytes]:
        async for block in request.stream:  # type: ignore[union-attr]
            held.add(pool.checkedout())
            yield block

    sent = await assets.post("/v1/assets", content=body(), headers={"Content-Type": request.headers["content-type"]})
    assert sent.status_code == 201
    assert held == {0}


@pytest.mark.parametrize(("roles", "status"), [((), 401), (("stakeholder",), 403)])
async def test_not_a_byte_is_read_from_who_may_not_upload(
    apps: dict[str, FastAPI], workspace: Workspace, roles: tuple[str, ...], status: int
) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"} | (workspace.headers(*roles) if roles else {})
    assert await call(apps["assets"], "POST", "/v1/assets", headers) == (status, 0)


async def test_a_sender_who_goes_away_leaves_nothing(
    assets: httpx.AsyncClient, kept: Path, workspace: Workspace, apps: dict[str, FastAPI]
) -> None:
    cut = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhalf of it'
    body: list[dict[str, Any]] = [{"type": "http.request", "body": cut, "more_body": True}, {"type": "http.disconnect"}]
    headers = workspace.headers() | {"Content-Type": "multipart/form-data; boundary=b"}
    await call(apps["assets"], "POST", "/v1/assets", headers, body=body)
    assert files_below(kept) == []
    assert (await assets.get("/v1/assets")).json()["items"] == []


async def test_bytes_that_are_gone_are_said_to_be_unavailable(assets: httpx.AsyncClient, kept: Path) -> None:
    asset = await upload(assets)
    (only,) = files_below(kept)
    only.unlink()
    gone = await assets.get(asset["content_url"])
    assert (gone.status_code, gone.json()["code"]) == (503, "store_unavailable")


async def test_assets_are_found_by_id_campaign_and_kind(assets: httpx.AsyncClient) -> None:
    spring, autumn = str(uuid4()), str(uuid4())
    logo = await upload(assets, title="b", campaign_id=[spring, autumn])
    photo = await upload(assets, title="a", kind="photo", campaign_id=spring)
    loose = await upload(assets, title="c", kind="ad")

    async def found(**params: Any) -> list[str]:
        answer = await assets.get("/v1/assets", params=params)
        assert answer.status_code == 200, answer.text
        return [asset["id"] for asset in answer.json()["items"]]

    assert await found() == [logo["id"], photo["id"], loose["id"]]
    assert await found(sort="title") == [photo["id"], logo["id"], loose["id"]]
    assert await found(id=[loose["id"], str(uuid4())]) == [loose["id"]]
    assert await found(campaign_id=[spring, autumn]) == [logo["id"], photo["id"]]
    assert await found(campaign_id=autumn) == [logo["id"]]
    assert await found(kind=["photo", "ad"]) == [photo["id"], loose["id"]]
    assert await found(campaign_id=spring, kind="photo") == [photo["id"]]
    assert (await assets.get("/v1/assets", params={"id": logo["id"]})).json()["items"] == [logo]


async def test_assets_come_page_by_page(assets: httpx.AsyncClient) -> None:
    made = [await upload(assets, title=title) for title in ("b", "a", "c")]
    first = (await assets.get("/v1/assets", params={"limit": 2, "sort": "-title"})).json()
    rest = await assets.get("/v1/assets", params={"limit": 2, "sort": "-title", "cursor": first["next_cursor"]})
    assert [*first["items"], *rest.json()["items"]] == [made[2], made[0], made[1]]


async def test_assets_of_many_campaigns_come_in_groups_and_one_may_be_in_several(assets: httpx.AsyncClient) -> None:
    spring, autumn, empty = (str(uuid4()) for _ in range(3))
    shared = await upload(assets, campaign_id=[spring, autumn])
    of_spring = [shared, await upload(assets, campaign_id=spring), await upload(assets, campaign_id=spring)]
    photo = await upload(assets, kind="photo", campaign_id=autumn)
    asked: dict[str, Any] = {"campaign_id": [autumn, spring, empty], "limit_per": 2}
    groups = (await assets.get("/v1/assets", params=asked)).json()["groups"]
    assert [group["key"] for group in groups] == [autumn, spring, empty]
    assert [group["items"] for group in groups] == [[shared, photo], of_spring[:2], []]
    asked |= {"campaign_id": spring, "cursor": groups[1]["next_cursor"]}
    (rest,) = (await assets.get("/v1/assets", params=asked)).json()["groups"]
    assert (rest["items"], rest["next_cursor"]) == (of_spring[2:], None)
    photos: dict[str, Any] = {"campaign_id": [spring, autumn], "limit_per": 2, "kind": "photo"}
    groups = (await assets.get("/v1/assets", params=photos)).json()["groups"]
    assert [group["items"] for group in groups] == [[], [photo]]


async def test_groups_need_campaigns_to_group_by(assets: httpx.AsyncClient) -> None:
    assert wrong_fields(await assets.get("/v1/assets", params={"limit_per": 2})) == ["limit_per"]


async def test_a_stakeholder_reads_assets_and_their_bytes(
    assets: httpx.AsyncClient, connect: Connect, workspace: Workspace
) -> None:
    asset = await upload(assets)
    stakeholder = connect("assets", workspace, "stakeholder")
    assert (await stakeholder.get("/v1/assets")).json()["items"] == [asset]
    assert (await stakeholder.get(asset["content_url"])).content == PNG
    for path in ("/v1/assets", f"/v1/assets/{asset['id']}", asset["content_url"]):
        assert (await connect("assets").get(path)).status_code == 401


async def test_assets_are_found_by_what_is_known_of_them(assets: httpx.AsyncClient, clock: Clock) -> None:
    logo = await upload(assets, title="Spring LOGO 100%")
    clock.forward(hours=1)
    text = await upload(assets, b"words", title="Spring_words", kind="message")
    later = clock.now.isoformat()

    async def found(**params: Any) -> list[str]:
        answer = await assets.get("/v1/assets", params=params)
        assert answer.status_code == 200, answer.text
        return [asset["id"] for asset in answer.json()["items"]]

    assert await found(q="spring") == [logo["id"], text["id"]]
    assert await found(q="logo 100%") == [logo["id"]]
    assert await found(q="_") == [text["id"]]
    assert await found(media_type="image/png") == [logo["id"]]
    assert await found(media_type=["text/*", "video/*"]) == [text["id"]]
    assert await found(sha256=text["sha256"]) == [text["id"]]
    assert await found(created_from=later) == [text["id"]]
    assert await found(created_to=later) == [logo["id"]]
    assert await found(state=["draft", "published"]) == [logo["id"], text["id"]]
    assert await found(state="archived") == []
    for wrong in ({"sha256": "x"}, {"media_type": "png"}, {"state": "new"}, {"created_from": "2026-01-01T00:00:00"}):
        assert (await assets.get("/v1/assets", params=wrong)).status_code == 422


async def test_an_upload_names_the_assets_that_have_the_same_bytes(
    assets: httpx.AsyncClient, connect: Connect, other_workspace: Workspace
) -> None:
    await upload(connect("assets", other_workspace))
    first = await send(assets, PNG)
    assert "link" not in first.headers
    again = await send(assets, PNG)
    assert again.headers["link"] == f'</v1/assets/{first.json()["id"]}>; rel="duplicate"'


async def test_a_dangerous_file_is_refused_by_name_of_its_danger_and_not_kept(
    assets: httpx.AsyncClient, kept: Path, stack: TestStack
) -> None:
    for content, code in ((b"\x7fELF....", "executable"), (b"<html>", "markup"), (b"GIF89a<script>", "polyglot")):
        refused = await send(assets, content)
        assert wrong_fields(refused) == ["file"]
        assert refused.json()["errors"][0]["code"] == code
    assert files_below(kept) == []
    assert files_below(stack.home / "assets" / "incoming") == []


async def test_a_page_is_kept_where_pages_belong_and_leaves_as_text(assets: httpx.AsyncClient) -> None:
    page = await upload(assets, b"<!doctype html><p>Hi", kind="landing_page")
    assert page["media_type"] == "text/html"
    content = await assets.get(page["content_url"])
    assert content.headers["content-type"] == "text/plain; charset=utf-8"


async def test_what_is_said_of_an_asset_can_be_edited(assets: httpx.AsyncClient) -> None:
    spring, autumn = str(uuid4()), str(uuid4())
    asset = await upload(assets, campaign_id=[spring])
    url, seen = f"/v1/assets/{asset['id']}", {"If-Match": str(asset["version"])}
    wanted = {"title": "New", "kind": "ad", "campaign_ids": [autumn, spring]}
    edited = await assets.patch(url, json=wanted, headers=seen)
    assert edited.status_code == 200, edited.text
    assert edited.json() == asset | wanted | {"version": asset["version"] + 1}
    assert (await assets.get(url)).json() == edited.json()
    assert (await assets.patch(url, json={"title": "Newer"}, headers=seen)).status_code == 412
    assert (await assets.patch(url, json={"title": "Newer"})).status_code == 428
    seen = {"If-Match": str(edited.json()["version"])}
    links = await assets.patch(url, json={"campaign_ids": []}, headers=seen)
    assert links.json() == edited.json() | {"campaign_ids": [], "version": edited.json()["version"] + 1}
    for wrong in ({"state": "approved"}, {"title": None}, {"sha256": "x"}, {"campaign_ids": [str(uuid4())] * 51}):
        assert (await assets.patch(url, json=wrong, headers={"If-Match": "*"})).status_code == 422


async def test_a_body_that_is_no_file_is_as_small_as_any(assets: httpx.AsyncClient) -> None:
    asset = await upload(assets)
    large = await assets.patch(f"/v1/assets/{asset['id']}", json={"title": "x" * 1_100_000}, headers={"If-Match": "*"})
    assert (large.status_code, large.json()["code"]) == (413, "too_large")
