"""Decides how campaigns are found by tags, and events moved when a campaign becomes known."""

import hashlib
import json
from collections.abc import Collection, Mapping
from uuid import UUID

from sqlalchemy import ARRAY, LargeBinary, Text, any_, cast, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from chassis.db import workspace_of
from chassis.fields import new_id
from services.metrics.campaign.models import Campaign, TagSet
from services.metrics.rollup.rules import Cell

Tags = tuple[str, ...]


async def campaigns_by_slug(session: AsyncSession, tags: Collection[str]) -> Mapping[str, UUID]:
    """The campaigns among these tags. Read it after `rollup.store.share_numbers`, or it may be stale."""
    # One array and no IN: a post may have more tags than a statement can have parameters (32,767).
    wanted = any_(cast(sorted(tags), ARRAY(Text)))
    rows = await session.execute(select(Campaign.slug, Campaign.id).where(col(Campaign.slug) == wanted))
    return {row.slug: row.id for row in rows}


async def tag_set_ids(session: AsyncSession, tag_sets: Collection[Tags]) -> Mapping[Tags, UUID]:
    """The id of each set of tags, made where there is none yet."""
    digests = {hashlib.sha256(json.dumps(tags).encode()).digest(): tags for tags in tag_sets}
    found = await _known(session, list(digests))
    missing = sorted(digests.keys() - found.keys())
    if missing:
        await session.execute(
            text("""
                INSERT INTO tag_set (workspace_id, id, tags, digest)
                SELECT :workspace, each.id, ARRAY(SELECT json_array_elements_text(cast(each.tags AS json))), each.digest
                FROM unnest(cast(:ids AS uuid[]), cast(:tags AS text[]), cast(:digests AS bytea[]))
                    AS each(id, tags, digest)
                ORDER BY each.digest  -- one order for all writers, or they deadlock
                ON CONFLICT DO NOTHING
            """),
            {
                "workspace": workspace_of(session), "ids": [new_id() for _ in missing],
                "tags": [json.dumps(digests[each], ensure_ascii=False) for each in missing], "digests": missing,
            },
        )  # fmt: skip
        found |= await _known(session, missing)
    return {digests[digest]: tag_set_id for digest, tag_set_id in found.items()}


async def _known(session: AsyncSession, digests: list[bytes]) -> dict[bytes, UUID]:
    wanted = any_(cast(digests, ARRAY(LargeBinary)))
    rows = await session.execute(select(TagSet.digest, TagSet.id).where(col(TagSet.digest) == wanted))
    return {row.digest: row.id for row in rows}


async def put_campaign(session: AsyncSession, campaign_id: UUID, slug: str, name: str) -> bool:
    """Keeps a campaign; says whether anything about it is new."""
    changed = await session.scalar(
        text("""INSERT INTO campaign (workspace_id, id, slug, name) VALUES (:workspace, :id, :slug, :name)
                ON CONFLICT (workspace_id, id) DO UPDATE SET slug = excluded.slug, name = excluded.name
                WHERE (campaign.slug, campaign.name) <> (excluded.slug, excluded.name)
                RETURNING true"""),
        {"workspace": workspace_of(session), "id": campaign_id, "slug": slug, "name": name},
    )
    return bool(changed)


async def remap(session: AsyncSession, slug: str) -> list[Cell]:
    """Gives every event that carries the slug the campaign that is now its; the cells that lost or gained events.

    Call it with the numbers seized, and rebuild the cells after it.
    """
    rows = await session.execute(
        text("""
            WITH now AS (
                SELECT s.workspace_id, s.id AS tag_set_id, (
                    SELECT c.id FROM unnest(s.tags) WITH ORDINALITY AS each(tag, place)
                    JOIN campaign c ON c.slug = each.tag
                    ORDER BY each.place LIMIT 1
                ) AS campaign_id
                FROM tag_set s WHERE :slug = ANY(s.tags)
            ), stale AS (
                SELECT e.workspace_id, e.id, e.campaign_id AS was, now.campaign_id AS belongs
                FROM now JOIN event e ON e.workspace_id = now.workspace_id AND e.tag_set_id = now.tag_set_id
                WHERE e.campaign_id IS DISTINCT FROM now.campaign_id
            ), moved AS (
                UPDATE event SET campaign_id = stale.belongs FROM stale
                WHERE event.workspace_id = stale.workspace_id AND event.id = stale.id
                RETURNING event.source_id, stale.was, stale.belongs, local_day(event.occurred_at, (
                    SELECT zone FROM workspace WHERE workspace_id = :workspace)) AS day
            )
            SELECT source_id, was, day FROM moved UNION SELECT source_id, belongs, day FROM moved
        """),
        {"slug": slug, "workspace": workspace_of(session)},
    )
    return [Cell(*row) for row in rows.all()]
