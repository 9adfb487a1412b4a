"""Decides what callers can do with assets."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, StringConstraints, ValidationError
from sqlalchemy import ARRAY, String, any_, bindparam, func
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import flag_modified
from sqlmodel import col

from chassis.answers import Derive, listed, read_of, read_row
from chassis.db import Now, Reading, Session, calling
from chassis.editing import IfMatch, edited, held
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, Principal, scope
from chassis.listing import Fields, Filter, Listing, Parent, fields_of, listing
from chassis.outbox import record
from chassis.paging import MOST, Groups, Page
from services.assets import events
from services.assets.asset import store
from services.assets.asset.models import (
    Asset,
    AssetCampaign,
    AssetCreate,
    AssetDetails,
    AssetPatch,
    AssetRead,
    AssetStep,
    AssetStepRead,
    SendBack,
)
from services.assets.asset.rules import (
    AssetAction,
    AssetState,
    duplicates_told,
    next_state,
    refuse_misfit,
    refuse_own,
    refuse_page,
)
from services.assets.version.intake import take_in
from services.assets.version.multipart import Upload, received

# Uploads take no Idempotency-Key: their body is never in memory, and what came twice is found by its bytes.
uploads = APIRouter(tags=["assets"])
router = APIRouter(route_class=IdempotentRoute, tags=["assets"])

_BODY = AssetCreate.model_json_schema(ref_template="#/components/schemas/{model}")
_BODY.pop("$defs")
_BODY["title"] = "AssetUpload"
_BODY["properties"]["file"] = {"type": "string", "format": "binary", "description": "The bytes; not empty."}
_BODY["required"] = ["file", *_BODY["required"]]
MediaType = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z]+/([a-z0-9.+-]+|\*)$", max_length=200),
    AfterValidator(lambda media_type: media_type.replace("*", "%")),
]
MEDIA_TYPES = Filter(
    "media_type",
    Annotated[
        list[MediaType], Query(max_length=MOST, description="Of the current version; `image/*` for a whole family.")
    ],
    [],
    Asset.media_type,
    col(Asset.media_type).like(any_(bindparam("media_type", type_=ARRAY(String)))),
)
Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
SHA256 = Filter(
    "sha256",
    Annotated[list[Sha256], Query(max_length=MOST, description="Of the current version, in hex.")],
    [],
    Asset.sha256,
    col(Asset.sha256) == any_(bindparam("sha256", type_=ARRAY(String))),
)
# No index serves this: under row-level security none but a leakproof operator may look before the policy has, and none
# of text search is. It narrows what the workspace's other indexes found.
TITLE_HOLDS = Filter(
    "q",
    Annotated[str | None, Query(min_length=1, max_length=200, description="What the title holds, in any case.")],
    None,
    Asset.title,
    func.strpos(func.lower(Asset.title), func.lower(bindparam("q", type_=String()))) > 0,
)


@uploads.post(
    "/v1/assets",
    status_code=201,
    dependencies=[scope("assets:write")],
    openapi_extra={
        "x-graph": False,
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _BODY}}},
    },
)
async def create_asset(request: Request, answer: Response, who: CurrentPrincipal, now: Now) -> AssetRead:
    """Keeps a file as a draft asset. Its bytes are durable before the answer; the same bytes twice are kept once, as
    two assets: `Link: </v1/assets/ID>; rel="duplicate"`
    names the others. Whether goals knows the campaigns isn't asked.

    What the file is is decided by its bytes. 422 names `file` for what is dangerous, its code the danger: `executable`,
    `script`, `malware`, `markup` (a web page of a kind that is none), `polyglot`, `hidden_data`, `bomb`,
    `nested_archive`, `encrypted`, `macros`, `active_content`, `svg_active`, `external_reference`, `unsafe_path`,
    `unreadable`, `too_large_to_check`. 413 beyond the largest size, 503 `store_full` when there is no room.
    """
    # The body is read here and not by FastAPI, so that nobody sends gigabytes before saying who they are; and the
    # database is reached after it, so that slow senders hold none of its connections.
    async with received(request, request.app.state.objects) as upload:
        create = _create(upload)
        facts = await take_in(request.app.state.objects, who.workspace_id, create.kind, upload)
    asset = Asset.model_validate(
        {
            "workspace_id": who.workspace_id,
            **create.model_dump(exclude={"campaign_id"}),
            **facts,
            "state": AssetState.DRAFT,
            "uploaded_by": who.subject,
            "uploaded_at": now,
            "created_by": who.subject,
            "created_at": now,
        }
    )
    campaign_ids = list(dict.fromkeys(create.campaign_id))
    async with calling(request, who) as session:
        await store.add_asset(session, asset, campaign_ids)
        await record(session, events.AssetCreated(**asset.told(campaign_ids)), asset.id, now)
        answer.headers.update(duplicates_told(await store.duplicates_of(session, asset)))
        return await read_of(session, AssetRead, asset, **_derived(request))


@router.get("/v1/assets/{id}", dependencies=[scope("assets:read")])
async def get_asset(id: UUID, request: Request, reading: Reading, fields: Fields = fields_of(AssetRead)) -> AssetRead:
    """One asset, without its bytes."""
    return await read_row(reading, Asset, id, AssetRead, fields, **_derived(request))


@router.get("/v1/assets", dependencies=[scope("assets:read")])
async def list_assets(
    request: Request,
    reading: Reading,
    asked: Listing[AssetRead] = listing(
        Asset,
        AssetRead,
        sort=("title", "created_at"),
        by=("kind", "state", "sha256", "created_at"),
        also=(MEDIA_TYPES, SHA256, TITLE_HOLDS),
        parents={"campaign_id": Parent(AssetCampaign.campaign_id, (AssetCampaign, store.CAMPAIGN_LINK))},
    ),
) -> Page[AssetRead] | Groups[AssetRead]:
    """Assets that fit every filter, the oldest first unless sorted otherwise. With `limit_per`: so many for each
    `campaign_id` that is named, in groups."""
    return await listed(reading, asked, **_derived(request))


@router.patch("/v1/assets/{id}", dependencies=[scope("assets:write")])
async def update_asset(id: UUID, patch: AssetPatch, if_match: IfMatch, request: Request, session: Session) -> AssetRead:
    """Edits what is said of an asset. Its bytes are replaced by a new version, and its state moves by its own verbs; an
    asset is never deleted, but archived."""
    asset = await held(session, Asset, id, if_match)
    current = await read_of(session, AssetRead, asset, **_derived(request))
    details = edited(AssetDetails, current, patch)
    refuse_page(details.kind, asset.media_type)
    if asset.state is not AssetState.DRAFT:
        refuse_misfit(details.kind, asset.media_type)
    asset.title, asset.kind = details.title, details.kind
    campaign_ids = list(dict.fromkeys(details.campaign_ids))
    if campaign_ids != current.campaign_ids:
        # Its links are part of it: who saw it with others sees an older version.
        flag_modified(asset, "title")
        await store.set_campaigns(session, asset, campaign_ids)
    await session.flush()
    return await read_of(session, AssetRead, asset, **_derived(request))


@dataclass(frozen=True)
class Way:
    """An asset, held for a step of its way from draft to published, and whoever takes the step."""

    asset: Asset
    request: Request
    session: AsyncSession
    who: Principal
    now: datetime

    async def step(self, action: AssetAction, event: type[events.AssetEvent], reason: str = "") -> AssetRead:
        """Takes it and tells of it; Conflict when it can't be taken from where the asset is."""
        asset = self.asset
        before, asset.state = asset.state, next_state(asset.state, action)
        await store.add_step(self.session, asset, action, before, self.who.subject, self.now, reason)
        read = await read_of(self.session, AssetRead, asset, **_derived(self.request))
        more = {"reason": reason} if reason else {}
        await record(self.session, event(**asset.told(read.campaign_ids), **more), asset.id, self.now)
        return read


async def _way(id: UUID, if_match: IfMatch, request: Request, session: Session, who: CurrentPrincipal, now: Now) -> Way:
    asset = await held(session, Asset, id, if_match)
    return Way(asset, request, session, who, now)


# As long as the session that it holds the asset by.
OnItsWay = Annotated[Way, Depends(_way, scope="function")]


@router.post("/v1/assets/{id}/submit", dependencies=[scope("assets:write")])
async def submit_asset(way: OnItsWay) -> AssetRead:
    """Lays a draft before those who approve. 409 `wrong_kind` when its file can't be of its kind."""
    refuse_misfit(way.asset.kind, way.asset.media_type)
    return await way.step(AssetAction.SUBMIT, events.AssetSubmitted)


@router.post("/v1/assets/{id}/approve", dependencies=[scope("assets:approve")])
async def approve_asset(way: OnItsWay) -> AssetRead:
    """Approves the current version. 403 `own_upload` for whoever uploaded it."""
    refuse_own(way.asset.uploader, way.who.subject)
    return await way.step(AssetAction.APPROVE, events.AssetApproved)


@router.post("/v1/assets/{id}/send-back", dependencies=[scope("assets:approve")])
async def send_back_asset(body: SendBack, way: OnItsWay) -> AssetRead:
    """Makes an asset that is in review, or approved and not out yet, a draft again, and says why."""
    return await way.step(AssetAction.SEND_BACK, events.AssetSentBack, body.reason)


@router.post("/v1/assets/{id}/publish", dependencies=[scope("assets:write")])
async def publish_asset(way: OnItsWay) -> AssetRead:
    """Says that the approved version is out; it becomes `published_version`."""
    way.asset.published_version = way.asset.current_version
    return await way.step(AssetAction.PUBLISH, events.AssetPublished)


@router.post("/v1/assets/{id}/archive", dependencies=[scope("assets:write")])
async def archive_asset(way: OnItsWay) -> AssetRead:
    """Takes an asset out of use, whatever its state. Its bytes stay where they are; nothing is out any more."""
    way.asset.published_version = None
    return await way.step(AssetAction.ARCHIVE, events.AssetArchived)


@router.post("/v1/assets/{id}/restore", dependencies=[scope("assets:write")])
async def restore_asset(way: OnItsWay) -> AssetRead:
    """Makes an archived asset a draft: it has to be approved anew."""
    return await way.step(AssetAction.RESTORE, events.AssetRestored)


@router.get("/v1/asset-steps", dependencies=[scope("assets:read")])
async def list_asset_steps(
    reading: Reading,
    asked: Listing[AssetStepRead] = listing(AssetStep, AssetStepRead, parents={"asset_id": Parent(AssetStep.asset_id)}),
) -> Page[AssetStepRead] | Groups[AssetStepRead]:
    """The steps that assets took, the oldest first unless sorted otherwise. With `limit_per`: so many for each
    `asset_id` that is named, in groups."""
    return await listed(reading, asked)


def _derived(request: Request) -> dict[str, Derive]:
    return store.derived(str(request.app.state.settings.told_url("assets")))


def _create(upload: Upload) -> AssetCreate:
    """What was sent beside the file; RequestValidationError, as for any other body, with the fields that are wrong."""
    sent: dict[str, Any] = {}
    errors: list[dict[str, Any]] = []
    for name, value in upload.fields:
        if name == "campaign_id":
            sent.setdefault(name, []).append(value)
        elif name in sent:
            errors.append({"loc": ("body", name), "type": "repeated", "msg": "send it once"})
        else:
            sent[name] = value
    if not upload.has_file:
        errors.append({"loc": ("body", "file"), "type": "missing", "msg": "send a file"})
        sent.pop("file", None)
    try:
        create = AssetCreate.model_validate(sent)
    except ValidationError as problem:
        found = problem.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError(
            [*errors, *({**error, "loc": ("body", *error["loc"])} for error in found)]
        ) from None
    if errors:
        raise RequestValidationError(errors)
    return create
