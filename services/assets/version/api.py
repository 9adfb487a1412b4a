"""Decides what callers can do with versions of assets, and how they get their bytes."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse

from chassis.answers import Derive, listed, of_row, read_of
from chassis.db import Now, Reading, Session, calling
from chassis.errors import Conflict
from chassis.identity import CurrentPrincipal, Principal, scope
from chassis.listing import Listing, Parent, listing
from chassis.outbox import record
from chassis.paging import Groups, Page
from services.assets.asset.models import AssetRead
from services.assets.asset.rules import AssetAction, duplicates_told, next_state, refuse_page
from services.assets.asset.store import add_step, campaigns_of, derived, duplicates_of, get_asset
from services.assets.events import AssetReplaced
from services.assets.version import store
from services.assets.version.content import content_of
from services.assets.version.intake import take_in
from services.assets.version.models import AssetVersion, AssetVersionRead
from services.assets.version.multipart import received
from services.assets.version.rules import content_path

router = APIRouter(tags=["versions of assets"])

# Some hundred bytes each.
MOST_REMEMBERED = 10_000
Number = Annotated[int, Path(ge=1, le=1_000_000, description="1, 2, ... within the asset.")]

_BODY = {
    "title": "AssetVersionUpload",
    "type": "object",
    "properties": {"file": {"type": "string", "format": "binary", "description": "The bytes; not empty."}},
    "required": ["file"],
}
_CONTENT: dict[str, Any] = {
    "dependencies": [scope("assets:read")],
    "openapi_extra": {"x-graph": False},
    "response_class": StreamingResponse,
    "responses": {
        200: {
            "description": "The bytes, to be saved. `ETag` is their SHA-256.",
            "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
        },
        206: {"description": "The bytes asked for; of several ranges, each as a part of multipart/byteranges."},
        304: {"description": "If-None-Match holds the ETag: the caller has them."},
        416: {"description": "None of the bytes asked for exist; `Content-Range` says how many do."},
    },
}
_Asked = Annotated[str | None, Header(max_length=2000)]


@router.post(
    "/v1/assets/{id}/versions",
    status_code=201,
    dependencies=[scope("assets:write")],
    openapi_extra={
        "x-graph": False,
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _BODY}}},
    },
)
async def create_asset_version(
    id: UUID, request: Request, answer: Response, who: CurrentPrincipal, now: Now
) -> AssetRead:
    """Keeps a file as an asset's next version, and makes the asset a draft again: nobody has approved these bytes.

    What was published stays `published_version`, under its own URL. 409 `same_bytes` when the current version has
    them, `wrong_state` when the asset is archived.
    """
    async with calling(request, who) as session:
        kind = (await get_asset(session, id)).kind
    async with received(request, request.app.state.objects) as upload:
        unknown = [name for name, _ in upload.fields]
        if unknown:
            raise RequestValidationError(
                [{"loc": ("body", name), "type": "extra_forbidden", "msg": "send the file alone"} for name in unknown]
            )
        facts = await take_in(request.app.state.objects, who.workspace_id, kind, upload)
    async with calling(request, who) as session:
        asset = await get_asset(session, id, lock=True)
        refuse_page(asset.kind, str(facts["media_type"]))  # its kind may have been edited while the bytes came
        before, asset.state = asset.state, next_state(asset.state, AssetAction.REPLACE)
        if asset.sha256 == facts["sha256"]:
            raise Conflict("the current version has these very bytes", code="same_bytes")
        for name, value in facts.items():
            setattr(asset, name, value)
        asset.current_version += 1
        asset.uploaded_by, asset.uploaded_at = who.subject, now
        await add_step(session, asset, AssetAction.REPLACE, before, who.subject, now, "")
        campaign_ids = (await campaigns_of(session, [id]))[id]
        await record(session, AssetReplaced(**asset.told(campaign_ids)), id, now)
        answer.headers.update(duplicates_told(await duplicates_of(session, asset)))
        return await read_of(session, AssetRead, asset, **derived(_here(request)))


@router.get("/v1/assets/{id}/versions/{number}", dependencies=[scope("assets:read")])
async def get_asset_version(id: UUID, number: Number, request: Request, session: Session) -> AssetVersionRead:
    """One version of an asset, without its bytes."""
    version = await store.get_version(session, id, number)
    return await read_of(session, AssetVersionRead, version, content_url=_urls(request))


@router.get("/v1/asset-versions", dependencies=[scope("assets:read")])
async def list_asset_versions(
    request: Request,
    reading: Reading,
    asked: Listing[AssetVersionRead] = listing(
        AssetVersion, AssetVersionRead, by=("sha256",), parents={"asset_id": Parent(AssetVersion.asset_id)}
    ),
) -> Page[AssetVersionRead] | Groups[AssetVersionRead]:
    """Versions of assets, the oldest first unless sorted otherwise. With `limit_per`: so many for each `asset_id` that
    is named, in groups."""
    return await listed(reading, asked, content_url=_urls(request))


@router.head("/v1/assets/{id}/content", dependencies=[scope("assets:read")], include_in_schema=False)
@router.get("/v1/assets/{id}/content", **_CONTENT)
async def get_asset_content(
    id: UUID,
    request: Request,
    who: CurrentPrincipal,
    if_none_match: _Asked = None,
    range: _Asked = None,
    if_range: _Asked = None,
) -> Response:
    """The bytes of an asset's first version. They never change: those of later versions have addresses of their own,
    and an asset's `content_url` leads to its current one."""
    return await content_of(request, await _remembered(request, who, id, 1))


@router.head("/v1/assets/{id}/versions/{number}/content", dependencies=[scope("assets:read")], include_in_schema=False)
@router.get("/v1/assets/{id}/versions/{number}/content", **_CONTENT)
async def get_asset_version_content(
    id: UUID,
    number: Number,
    request: Request,
    who: CurrentPrincipal,
    if_none_match: _Asked = None,
    range: _Asked = None,
    if_range: _Asked = None,
) -> Response:
    """A version's bytes, whole or the ranges asked for (at most 16). They never change."""
    return await content_of(request, await _remembered(request, who, id, number))


async def _remembered(request: Request, who: Principal, asset_id: UUID, number: int) -> AssetVersion:
    """The version, without the database where it was read before: it can't have changed since."""
    known: dict[tuple[UUID, UUID, int], AssetVersion] = request.app.state.versions
    key = (who.workspace_id, asset_id, number)
    if key not in known:
        async with calling(request, who) as session:
            found = await store.get_version(session, asset_id, number)
        if len(known) >= MOST_REMEMBERED:
            known.clear()
        known[key] = found
        return found
    return known[key]


def _here(request: Request) -> str:
    return str(request.app.state.settings.told_url("assets"))


def _urls(request: Request) -> Derive:
    here = _here(request)
    return of_row(lambda version: here + content_path(version.asset_id, version.number))
