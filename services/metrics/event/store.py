"""Decides how events are stored, counted in the same transaction, and found again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database, workspace_of
from chassis.fields import new_id
from chassis.reading import Source
from services.metrics.campaign.rules import first_match
from services.metrics.campaign.store import campaigns_by_slug, tag_set_ids
from services.metrics.change.models import Change
from services.metrics.change.store import note_change
from services.metrics.event.flush import Commit, Post
from services.metrics.event.rules import ReadEvent
from services.metrics.quarantine.store import quarantine
from services.metrics.recipient.store import address_key, recipient_ids
from services.metrics.rollup.store import FOLD, share_numbers
from services.metrics.source.intake import Intake
from services.metrics.source.store import heard_from

# Below, one statement with arrays is faster; above, COPY is, even by way of a temporary table.
COPY_FROM = 200

# The columns in which rows come in, and their types; `reasons` are codes, joined by commas.
COLUMNS = {
    "id": "uuid", "source_id": "uuid", "key": "bytea", "type": "text", "recipient_id": "uuid", "message_id": "text",
    "url": "text", "tag_set_id": "uuid", "campaign_id": "uuid", "occurred_at": "timestamptz",
    "received_at": "timestamptz", "verdict": "text", "reasons": "text",
}  # fmt: skip
Row = tuple[Any, ...]

# {INCOMING} is one of two constants below. RETURNING gives what is new, so that a repeated event is counted nowhere.
_STORE = """
    WITH fresh AS (
        INSERT INTO event (workspace_id, id, source_id, key, type, recipient_id, message_id, url, tag_set_id,
            campaign_id, occurred_at, received_at, verdict, reasons)
        SELECT cast(:workspace AS uuid), id, source_id, key, type, recipient_id, message_id, url, tag_set_id,
            campaign_id, occurred_at, received_at, verdict, string_to_array(reasons, ',')
        FROM {INCOMING} ORDER BY source_id, key
        ON CONFLICT (workspace_id, source_id, key) DO NOTHING
        RETURNING workspace_id, source_id, campaign_id, local_day(occurred_at, :zone) AS day, type, verdict,
            recipient_id, message_id
    ), {FOLD}
    SELECT campaign_id, day, source_id, count(*) FROM fresh GROUP BY 1, 2, 3
"""
_ARRAYS = (
    "unnest(" + ", ".join(f"cast(:{name} AS {kind}[])" for name, kind in COLUMNS.items()) + ") AS incoming("
    + ", ".join(COLUMNS) + ")"
)  # fmt: skip
_STORE_ARRAYS = text(_STORE.replace("{INCOMING}", _ARRAYS).replace("{FOLD}", FOLD))
_STORE_COPIED = text(_STORE.replace("{INCOMING}", "pg_temp.incoming").replace("{FOLD}", FOLD))
_INCOMING = text(
    "CREATE TEMPORARY TABLE IF NOT EXISTS incoming ("
    + ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    + ") ON COMMIT DELETE ROWS"
)


def commit_to(database: Database, secret_key: SecretStr, intake: Intake) -> Commit:
    """What the flusher commits posts with: one transaction of one workspace."""

    async def commit(workspace_id: UUID, posts: Sequence[Post]) -> None:
        async with database.tenant(workspace_id) as session:
            cells = await store_posts(session, address_key(secret_key, workspace_id), posts)
        for campaign_id, _, source_id, new in cells:
            intake.note(workspace_id, source_id, posts[0].received_at, stored=new, unmapped=0 if campaign_id else new)

    return commit


async def store_posts(session: AsyncSession, key: bytes, posts: Sequence[Post]) -> Sequence[Any]:
    """Stores what the posts hold and adds what is new to the numbers; `key` hashes addresses. How many are new, by
    campaign, day and source.

    Every step writes its rows in one order, so that concurrent flushes wait for each other but never in a circle.
    """
    found: dict[tuple[UUID, bytes], tuple[ReadEvent, datetime]] = {}
    for post in posts:
        for event in post.reading.events:
            found.setdefault((post.source_id, event.key), (event, post.received_at))
    events = [event for event, _ in found.values()]
    zone = await share_numbers(session)
    people = await recipient_ids(session, key, {event.recipient for event in events if event.recipient})
    tag_sets = await tag_set_ids(session, {event.tags for event in events if event.tags})
    slugs = await campaigns_by_slug(session, {tag for tags in tag_sets for tag in tags})
    campaigns = {tags: first_match(tags, slugs) for tags in tag_sets}
    rows: list[Row] = [
        (
            new_id(), source_id, event.key, event.type.value, people.get(event.recipient or ""), event.message_id,
            event.url, tag_sets.get(event.tags), campaigns.get(event.tags), event.occurred_at, received_at,
            event.verdict.value, ",".join(event.reasons),
        )
        for (source_id, _), (event, received_at) in found.items()
    ]  # fmt: skip
    cells = await _insert(session, rows, zone) if rows else []
    await quarantine(
        session, [(post.source_id, post.received_at, each) for post in posts for each in post.reading.unreadable]
    )
    await heard_from(session, sorted((post.source_id, post.received_at) for post in posts))
    changed = Change.over((campaign_id, day) for campaign_id, day, _, _ in cells)
    await note_change(session, changed, max(post.received_at for post in posts))
    return cells


async def _insert(session: AsyncSession, rows: list[Row], zone: str) -> Sequence[Any]:
    bound: dict[str, Any] = {"workspace": workspace_of(session), "zone": zone}
    if len(rows) < COPY_FROM:
        bound |= dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
        statement = _STORE_ARRAYS
    else:
        await session.execute(_INCOMING)
        # A temporary table, since COPY can't write to one with row security.
        connection = await (await session.connection()).get_raw_connection()
        driver: Any = connection.driver_connection
        await driver.copy_records_to_table("incoming", records=rows, columns=list(COLUMNS))
        statement = _STORE_COPIED
    return (await session.execute(statement, bound)).all()


_ADDRESSES_OF = text("""
    SELECT e.id, r.address FROM event e JOIN recipient r ON (r.workspace_id, r.id) = (e.workspace_id, e.recipient_id)
    WHERE e.id = ANY(:ids)
""")


async def addresses_of(source: Source, event_ids: Sequence[UUID]) -> dict[UUID, str]:
    """The address of each event's recipient, where it names one."""
    return dict((await source.execute(_ADDRESSES_OF, {"ids": list(event_ids)})).all())
