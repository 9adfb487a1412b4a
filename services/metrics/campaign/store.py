"""Decides how campaigns are found by tags, and events moved when a campaign becomes known."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from chassis.fields import new_id
from services.metrics.rollup.rules import Cell

Tags = tuple[str, ...]
MOST_KNOWN = 20_000


# A part of a WITH: `campaigns` has one row, whose `ids` are the campaigns of the sets of tags in $4, in their order: of
# each the one whose slug is the first of its tags that is any campaign's. A function of the tags and of all campaigns
# known now, never of who came first: `remap` says the same. Read with the numbers shared, or it may be stale.
CAMPAIGNS_OF = """
    campaigns AS MATERIALIZED (
        SELECT array_agg((
            SELECT c.id FROM tag_set s CROSS JOIN unnest(s.tags) WITH ORDINALITY AS each(tag, place)
            JOIN campaign c ON c.workspace_id = $1 AND c.slug = each.tag
            WHERE s.workspace_id = $1 AND s.id = wanted.id ORDER BY each.place LIMIT 1
        ) ORDER BY wanted.place) AS ids
        FROM unnest($4::uuid[]) WITH ORDINALITY AS wanted(id, place)
    )
"""


class TagBook:
    """Which id each set of tags has in one workspace. It never changes, so a process may remember it."""

    def __init__(self) -> None:
        self._known: dict[Tags, UUID] = {}

    def keep(self, known: Mapping[Tags, UUID]) -> None:
        """Remembers what is committed."""
        if len(self._known) > MOST_KNOWN:
            self._known.clear()
        self._known.update(known)

    async def ids(self, connection: Any, workspace_id: UUID, tag_sets: Sequence[Tags]) -> dict[Tags, UUID]:
        """The id of each, made where there is none yet."""
        found = {tags: self._known[tags] for tags in tag_sets if tags in self._known}
        digests = {hashlib.sha256(json.dumps(tags).encode()).digest(): tags for tags in tag_sets if tags not in found}
        for again in (False, True):
            if digests:
                known = "SELECT digest, id FROM tag_set WHERE workspace_id = $1 AND digest = ANY($2::bytea[])"
                for digest, tag_set_id in await connection.fetch(known, workspace_id, list(digests)):
                    found[digests.pop(digest)] = tag_set_id
            if digests and not again:
                missing = sorted(digests)
                await connection.execute(
                    """
                    INSERT INTO tag_set (workspace_id, id, tags, digest)
                    SELECT $1, each.id, ARRAY(SELECT json_array_elements_text(cast(each.tags AS json))), each.digest
                    FROM unnest($2::uuid[], $3::text[], $4::bytea[]) AS each(id, tags, digest)
                    ORDER BY each.digest  -- one order for all writers, or they deadlock
                    ON CONFLICT DO NOTHING
                    """,
                    workspace_id,
                    [new_id() for _ in missing],
                    [json.dumps(digests[each], ensure_ascii=False) for each in missing],
                    missing,
                )
        return found


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
                ) AS campaign_id, ARRAY(SELECT c.id FROM campaign c WHERE c.slug = ANY(s.tags)) AS others
                FROM tag_set s WHERE :slug = ANY(s.tags)
            ), stale AS (
                SELECT e.workspace_id, e.id, e.campaign_id AS was, now.campaign_id AS belongs
                FROM now CROSS JOIN LATERAL (
                    SELECT * FROM occurrence WHERE workspace_id = now.workspace_id AND campaign_id IS NULL
                        AND tag_set_id = now.tag_set_id
                    UNION ALL
                    -- Those that a later tag had given to another campaign.
                    SELECT * FROM occurrence WHERE workspace_id = now.workspace_id AND campaign_id = ANY(now.others)
                        AND tag_set_id = now.tag_set_id
                ) e WHERE e.campaign_id IS DISTINCT FROM now.campaign_id
            ), moved AS (
                UPDATE occurrence e SET campaign_id = stale.belongs FROM stale
                WHERE e.workspace_id = stale.workspace_id AND e.id = stale.id
                RETURNING e.source_id, stale.was, stale.belongs, local_day(e.occurred_at, (
                    SELECT zone FROM workspace WHERE workspace_id = :workspace)) AS day
            )
            SELECT source_id, was, day FROM moved UNION SELECT source_id, belongs, day FROM moved
        """),
        {"slug": slug, "workspace": workspace_of(session)},
    )
    return [Cell(*row) for row in rows.all()]
