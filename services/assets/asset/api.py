"""Decides what callers can do with assets."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from chassis.answers import Derive, by_id, listed, read_row
from chassis.db import Now, Reading, Session, calling
from chassis.errors import Invalid
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Fields, Listing, Parent, fields_of, listing
from chassis.paging import Groups, Page
from services.assets.asset import store
from services.assets.asset.models import MOST_CAMPAIGNS, Asset, AssetCampaign, AssetCreate, AssetRead
from services.assets.asset.objects import Objects
from services.assets.asset.rules import (
    HEAD,
    AssetState,
    clean_filename,
    content_headers,
    is_fresh,
    media_type_of,
)

router = APIRouter(tags=["assets"])

_BODY = AssetCreate.model_json_schema(ref_template="#/components/schemas/{model}")
_BODY.pop("$defs")
_BODY["title"] = "AssetUpload"
_BODY["properties"]["file"] = {"type": "string", "format": "binary", "description": "The bytes; not empty."}
_BODY["required"] = ["file", *_BODY["required"]]


@router.post(
    "/v1/assets",
    status_code=201,
    dependencies=[scope("assets:write")],
    openapi_extra={
        "x-graph": False,
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _BODY}}},
    },
)
async def create_asset(request: Request, who: CurrentPrincipal, now: Now) -> AssetRead:
    """Keeps a file as a draft asset. Its bytes are durable before the answer; the same bytes twice are kept once, as
    two assets. Whether goals knows the campaigns isn't asked."""
    # The body is read here and not by FastAPI, so that nobody sends gigabytes before saying who they are; and the
    # database is reached after it, so that slow senders hold none of its connections.
    form = await _form(request)
    try:
        create, file = _parts(form)
        objects: Objects = request.app.state.objects
        kept = await objects.keep(who.workspace_id, file.file, HEAD)
    finally:
        await form.close()
    if kept.size == 0:
        raise Invalid.field("file", "the file is empty", "empty")
    asset = Asset.model_validate(
        {
            "workspace_id": who.workspace_id,
            **create.model_dump(exclude={"campaign_id"}),
            "state": AssetState.DRAFT,
            "filename": clean_filename(file.filename or ""),
            "media_type": media_type_of(kept.head),
            "size": kept.size,
            "sha256": kept.sha256,
            "created_by": who.subject,
            "created_at": now,
        }
    )
    async with calling(request, who) as session:
        await store.add_asset(session, asset, create.campaign_id)
    campaign_ids = list(dict.fromkeys(create.campaign_id))
    return AssetRead.of(asset, campaign_ids=campaign_ids, content_url=_url(request, asset.id))


@router.get("/v1/assets/{id}", dependencies=[scope("assets:read")])
async def get_asset(id: UUID, request: Request, reading: Reading, fields: Fields = fields_of(AssetRead)) -> AssetRead:
    """One asset, without its bytes."""
    derived = {"campaign_ids": by_id(store.campaigns_of), "content_url": _urls(request)}
    return await read_row(reading, Asset, id, AssetRead, fields, **derived)


@router.get("/v1/assets", dependencies=[scope("assets:read")])
async def list_assets(
    request: Request,
    reading: Reading,
    asked: Listing[AssetRead] = listing(
        Asset,
        AssetRead,
        sort=("title", "created_at"),
        by=("kind", "state", "sha256", "created_at"),
        parents={"campaign_id": Parent(AssetCampaign.campaign_id, (AssetCampaign, store.CAMPAIGN_LINK))},
    ),
) -> Page[AssetRead] | Groups[AssetRead]:
    """Assets that fit every filter, the oldest first unless sorted otherwise. With `limit_per`: so many for each
    `campaign_id` that is named, in groups."""
    return await listed(reading, asked, campaign_ids=by_id(store.campaigns_of), content_url=_urls(request))


@router.head("/v1/assets/{id}/content", dependencies=[scope("assets:read")], include_in_schema=False)
@router.get(
    "/v1/assets/{id}/content",
    dependencies=[scope("assets:read")],
    openapi_extra={"x-graph": False},
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The bytes, to be saved. `ETag` is their SHA-256.",
            "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
        },
        304: {"description": "If-None-Match holds the ETag: the caller has them."},
    },
)
async def get_asset_content(
    id: UUID,
    request: Request,
    session: Session,
    if_none_match: Annotated[str, Header(max_length=2000, description="ETags that the caller has.")] = "",
) -> Response:
    """An asset's bytes. They never change."""
    asset = await store.get_asset(session, id)
    headers = content_headers(asset.filename, asset.sha256)
    if is_fresh(if_none_match, asset.sha256):
        return Response(status_code=304, headers=headers)
    headers |= {"Content-Length": str(asset.size), "Content-Type": asset.media_type}
    if request.method == "HEAD":
        return Response(headers=headers)
    objects: Objects = request.app.state.objects
    # The session is closed when this returns; what follows is read without it.
    return StreamingResponse(await objects.open(asset.workspace_id, asset.sha256), headers=headers)


def _url(request: Request, asset_id: UUID) -> str:
    return f"{request.app.state.settings.url('assets')}/v1/assets/{asset_id}/content"


def _urls(request: Request) -> Derive:
    async def urls(_: Any, assets: Sequence[Asset]) -> dict[UUID, str]:
        return {asset.id: _url(request, asset.id) for asset in assets}

    return urls


async def _form(request: Request) -> FormData:
    """The multipart body, its file spooled to disk beyond a megabyte."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise HTTPException(415, "send multipart/form-data")
    try:
        return await request.form(max_files=1, max_fields=MOST_CAMPAIGNS + 10, max_part_size=16_000)
    except HTTPException as problem:
        if problem.status_code in (408, 413):
            raise
        raise Invalid(problem.detail, code="multipart") from None
    except ClientDisconnect:
        raise Invalid("the body ended before its end", code="multipart") from None


def _parts(form: FormData) -> tuple[AssetCreate, UploadFile]:
    """What a form holds; RequestValidationError, as for any other body, naming the fields that are wrong."""
    sent: dict[str, Any] = {}
    errors: list[dict[str, Any]] = []
    file = None
    for name, value in form.multi_items():
        if name == "file" and isinstance(value, UploadFile):
            file = value
        elif name == "campaign_id":
            sent.setdefault(name, []).append(value)
        elif name in sent:
            errors.append({"loc": ("body", name), "type": "repeated", "msg": "send it once"})
        elif name != "file":
            sent[name] = value
    if file is None:
        errors.append({"loc": ("body", "file"), "type": "missing", "msg": "send a file"})
    try:
        create = AssetCreate.model_validate(sent)
    except ValidationError as problem:
        found = problem.errors(include_url=False, include_context=False, include_input=False)
        errors += [{**error, "loc": ("body", *error["loc"])} for error in found]
    if errors or file is None:
        raise RequestValidationError(errors)
    return create, file
