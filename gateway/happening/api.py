"""Decides who reads what happened, and which kinds of events there are."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from fastapi import APIRouter

from chassis.answers import listed, page_of
from chassis.db import Reading
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Cursor, Limit, Listing, listing
from chassis.paging import Groups, Page, decode_cursor, encode_cursor
from gateway.happening.catalog import happening_types
from gateway.happening.models import Happening, HappeningRead, HappeningTypeRead
from gateway.happening.rules import heard_by

router = APIRouter(tags=["events"])


@router.get("/v1/happenings", dependencies=[scope("workspace:read")])
async def list_happenings(
    reading: Reading,
    who: CurrentPrincipal,
    asked: Listing[HappeningRead] = listing(
        Happening, HappeningRead, sort=("occurred_at",), by=("type", "part", "subject", "occurred_at")
    ),
) -> Page[HappeningRead] | Groups[HappeningRead]:
    """What happened in the last 30 days in the parts that the caller may read, the oldest first unless sorted
    otherwise."""
    return await listed(reading, replace(asked, given=_heard(asked.given, heard_by(who.scopes))))


def _heard(given: Any, parts: Collection[str]) -> dict[str, Any]:
    wanted = given.get("part")
    return {**given, "part": [each for each in parts if wanted is None or each in wanted]}


@router.get("/v1/happening-types", dependencies=[scope("workspace:read")])
async def list_happening_types(
    who: CurrentPrincipal, limit: Limit = 50, cursor: Cursor = None
) -> Page[HappeningTypeRead]:
    """Every kind of event that the caller may hear of, by name, with the schema of what is said."""
    after = decode_cursor(cursor, "type", [str])[0] if cursor else ""
    parts = heard_by(who.scopes)
    found = [each for name, each in happening_types().items() if name > after and each.part in parts]
    more = encode_cursor("type", found[limit - 1].type) if len(found) > limit else None
    return page_of(HappeningTypeRead, found[:limit], more)
