"""Decides how events are stored, with a note in the same transaction of what they add to the numbers."""

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from weakref import WeakSet

from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database, workspace_of
from chassis.reading import Source
from services.metrics.campaign.rules import first_match
from services.metrics.campaign.store import TagBook, Tags, campaigns_by_slug
from services.metrics.event.copying import encode
from services.metrics.event.flush import Commit, Post
from services.metrics.event.rules import EPOCH, LOOKED_AT, ReadEvent, event_id, micros, month, salt
from services.metrics.quarantine.store import quarantine
from services.metrics.recipient.store import RESOLVE, address_key, hashes_of
from services.metrics.rollup.folding import NOTE
from services.metrics.rollup.holding import LOCK_TIMEOUT
from services.metrics.source.intake import Intake
from services.metrics.source.store import heard_from

_BEGIN = (
    f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SELECT pg_advisory_xact_lock_shared(hashtextextended('numbers:%s', 0))"
)
# The columns in which rows come in; `person` and `tags` are places in the arrays that come beside them.
COLUMNS = {
    "id": "uuid", "source_id": "uuid", "type": "text", "person": "int", "message_id": "text", "url": "text",
    "tags": "int", "occurred_at": "timestamptz", "received_at": "timestamptz", "verdict": "text", "reasons": "text",
}  # fmt: skip
# COPY can't write to a table with row security, nor does it know of conflicts.
_INCOMING = (
    "CREATE TEMPORARY TABLE IF NOT EXISTS incoming ("
    + ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    + ") ON COMMIT DELETE ROWS"
)
# Everything at once: people are found or made, events stored in one order for all writers (or they deadlock), and of
# those that are new it is noted what they add. RETURNING gives what is new, so that a repeated event counts nowhere.
_STORE = f"""
    WITH {RESOLVE}, fresh AS (
        INSERT INTO occurrence (workspace_id, id, source_id, type, recipient_id, message_id, url, tag_set_id,
            campaign_id, occurred_at, received_at, verdict, reasons)
        SELECT $1, i.id, i.source_id, i.type, (SELECT ids FROM people)[i.person], i.message_id, i.url,
            ($4::uuid[])[i.tags], ($5::uuid[])[i.tags], i.occurred_at, i.received_at, i.verdict,
            string_to_array(i.reasons, ',')
        FROM pg_temp.incoming i ORDER BY i.id
        ON CONFLICT (workspace_id, id) DO NOTHING
        RETURNING id, source_id, campaign_id, occurred_at, type, verdict, recipient_id, message_id, received_at
    ), noted AS (
        {NOTE.format(WORKSPACE="$1", ZONE="(SELECT zone FROM workspace WHERE workspace_id = $1)")}
    ), waiting AS (
        INSERT INTO unjudged (workspace_id, id, events, noted_at)
        SELECT $1, gen_random_uuid(), array_agg(id), max(received_at) FROM fresh
        WHERE type = ANY ('{{{",".join(sorted(LOOKED_AT))}}}') AND recipient_id IS NOT NULL HAVING count(*) > 0
    )
    SELECT source_id, count(*) AS stored, count(*) FILTER (WHERE campaign_id IS NULL) AS unmapped FROM fresh GROUP BY 1
"""


class Months:
    """Which months have a partition to store events in. A job makes them ahead; what it hasn't come to is made here."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: set[date] = set()

    async def have(self, wanted: set[date]) -> None:
        missing = wanted - self._known
        if missing:
            await keep_months(self._database, min(missing), max(missing))
            self._known |= missing


async def keep_months(database: Database, first: date, last: date) -> None:
    """Makes the partitions of these months and of those between, where there are none yet."""
    async with database.worker() as session:
        await session.execute(
            text("SELECT keep_occurrences(:first, :until)"), {"first": month(first), "until": month(last, 1)}
        )


async def drop_months(database: Database, before: datetime) -> None:
    """Drops the partitions of all months that ended before: their numbers stay."""
    async with database.worker() as session:
        await session.execute(text("SELECT drop_occurrences(:before)"), {"before": before.date()})


def commit_to(database: Database, secret_key: SecretStr, intake: Intake) -> Commit:
    """What the flusher commits posts with: one transaction of one workspace, on the driver itself."""
    months, books = Months(database), dict[UUID, TagBook]()
    ready: WeakSet[Any] = WeakSet()

    async def commit(workspace_id: UUID, posts: Sequence[Post]) -> None:
        batch = Batch(address_key(secret_key, workspace_id), posts)
        await months.have(batch.months)
        book = books.setdefault(workspace_id, TagBook())
        async with database.driving(workspace_id, _BEGIN % workspace_id) as connection:
            if connection not in ready:  # even to find that it's there already takes longer than to store a few
                await connection.execute(_INCOMING)
            known = await batch.store(connection, workspace_id, book)
        ready.add(connection)
        book.keep(known)
        for source_id, stored, unmapped in batch.new:
            intake.note(workspace_id, source_id, posts[0].received_at, stored=stored, unmapped=unmapped)
        if len(books) > 1000:
            books.clear()

    return commit


class Batch:
    """What several posts hold, each event once, as it goes to the database."""

    def __init__(self, key: bytes, posts: Sequence[Post]) -> None:
        self._posts = posts
        # Once stored: how many of each source are new, and how many of these are of no campaign.
        self.new: Sequence[tuple[UUID, int, int]] = ()
        found: dict[bytes, tuple[ReadEvent, bytes, int, int]] = {}
        for post in posts:
            salted, source, received = salt(post.source_id), post.source_id.bytes, micros(post.received_at)
            for event in post.reading.events:
                at = micros(event.occurred_at)
                event_key = event_id(salted, event.key, at)
                if event_key not in found:
                    found[event_key] = (event, source, at, received)
        self._events = found
        people: dict[str, int] = {}
        tags: dict[Tags, int] = {}
        for event, _, _, _ in found.values():
            if event.recipient and event.recipient not in people:
                people[event.recipient] = len(people) + 1
            if event.tags and event.tags not in tags:
                tags[event.tags] = len(tags) + 1
        self._people, self._tags = people, tags
        self._hashes = hashes_of(key, people)
        self._rows = encode(found, people, tags)
        days = {at // 86_400_000_000 for _, _, at, _ in found.values()}
        self.months = {month((EPOCH + timedelta(days=day)).date()) for day in days}

    async def store(self, connection: Any, workspace_id: UUID, book: TagBook) -> dict[Tags, UUID]:
        """Stores all of it and notes what is new; the ids of the sets of tags, once this is committed."""
        known: dict[Tags, UUID] = {}
        if self._events:
            await connection.copy_to_table("incoming", source=_once(self._rows), format="binary", columns=list(COLUMNS))
            known = await book.ids(connection, workspace_id, list(self._tags))
            slugs = await campaigns_by_slug(connection, workspace_id, {tag for tags in self._tags for tag in tags})
            campaigns = [first_match(tags, slugs) for tags in self._tags]
            self.new = await connection.fetch(
                _STORE, workspace_id, self._hashes, list(self._people), [known[tags] for tags in self._tags], campaigns
            )
        posts = self._posts
        unreadable = [(post, each) for post in posts for each in post.reading.unreadable]
        if unreadable:
            await quarantine(connection, workspace_id, unreadable)
        await heard_from(connection, workspace_id, sorted((post.source_id, post.received_at) for post in posts))
        return known


async def store_in(session: AsyncSession, secret_key: SecretStr, posts: Sequence[Post]) -> int:
    """Stores posts in a transaction that does more than that; how many events are new."""
    workspace_id = workspace_of(session)
    batch = Batch(address_key(secret_key, workspace_id), posts)
    if not batch.months:
        return 0
    await session.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
    await session.execute(
        text("SELECT pg_advisory_xact_lock_shared(hashtextextended(:key, 0))"), {"key": f"numbers:{workspace_id}"}
    )
    await session.execute(
        text("SELECT keep_occurrences(:first, :until)"),
        {"first": min(batch.months), "until": month(max(batch.months), 1)},
    )
    connection: Any = (await (await session.connection()).get_raw_connection()).driver_connection
    await connection.execute(_INCOMING)
    await batch.store(connection, workspace_id, TagBook())
    return sum(stored for _, stored, _ in batch.new)


async def _once(rows: bytes) -> AsyncIterator[bytes]:
    yield rows


async def note_unjudged(session: AsyncSession, event_ids: Sequence[UUID], now: datetime) -> None:
    """Has events looked at again."""
    await session.execute(
        text("""INSERT INTO unjudged (workspace_id, id, events, noted_at)
                SELECT :workspace, gen_random_uuid(), array_agg(id), :now FROM occurrence
                WHERE workspace_id = :workspace AND id = ANY(:ids) AND recipient_id IS NOT NULL
                    AND type = ANY(cast(:types AS text[])) HAVING count(*) > 0"""),
        {
            "workspace": workspace_of(session), "ids": list(event_ids), "now": now,
            "types": sorted(LOOKED_AT),
        },
    )  # fmt: skip


_ADDRESSES_OF = text("""
    SELECT e.id, r.address FROM occurrence e
    JOIN recipient r ON (r.workspace_id, r.id) = (e.workspace_id, e.recipient_id)
    WHERE e.id = ANY(:ids)
""")


async def addresses_of(source: Source, event_ids: Sequence[UUID]) -> dict[UUID, str]:
    """The address of each event's recipient, where it names one."""
    return dict((await source.execute(_ADDRESSES_OF, {"ids": list(event_ids)})).all())
