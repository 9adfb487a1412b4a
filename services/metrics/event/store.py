"""Decides how events are stored, with a note in the same transaction of what they add to the numbers."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from asyncpg.pgproto import pgproto
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database, workspace_of
from chassis.reading import Source
from services.metrics.campaign.store import CAMPAIGNS_OF, TagBook, Tags
from services.metrics.event.flush import Commit, Post
from services.metrics.event.rules import EPOCH, LOOKED_AT, event_id, micros, month, salt
from services.metrics.quarantine.store import quarantine
from services.metrics.recipient.store import RESOLVE, address_key, hashes_of
from services.metrics.rollup.folding import NOTE
from services.metrics.rollup.holding import LOCK_TIMEOUT
from services.metrics.source.intake import Intake
from services.metrics.source.store import HEARD, heard_from, latest

# So many workspaces' keys and tags a process remembers.
MOST_SPACES = 1000
FEW = 200
_BEGIN = (
    f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SELECT pg_advisory_xact_lock_shared(hashtextextended('numbers:%s', 0))"
)
# Everything at once, since a flush of few events is little but its round trips: people are found or made, events stored
# in one order for all writers (or they deadlock), and of those that are new it is noted what they add. RETURNING gives
# what is new, so that a repeated event counts nowhere. Events come in as an array of each of their fields: for a few
# that takes half of what a COPY to a temporary table does, for thousands as much. `person` is a place in what was found
# of people, `kind` one among what many events have in common.
_STORE = f"""
    WITH {RESOLVE}, {CAMPAIGNS_OF}, fresh AS (
        INSERT INTO occurrence (workspace_id, id, source_id, type, recipient_id, message_id, url, tag_set_id,
            campaign_id, occurred_at, received_at, verdict, reasons)
        SELECT $1, i.id, k.source_id, k.type, (SELECT ids FROM people)[i.person], i.message_id, i.url,
            ($4::uuid[])[k.tags], (SELECT ids FROM campaigns)[k.tags],
            'epoch'::timestamptz + i.occurred * interval '1 microsecond', k.received_at, k.verdict,
            string_to_array(k.reasons, ',')
        FROM unnest($5::uuid[], $6::int[], $7::int[], $8::text[], $9::text[], $10::bigint[])
            AS i(id, kind, person, message_id, url, occurred)
        JOIN unnest($11::uuid[], $12::timestamptz[], $13::text[], $14::int[], $15::text[], $16::text[])
            WITH ORDINALITY AS k(source_id, received_at, type, tags, verdict, reasons, place) ON k.place = i.kind
        ORDER BY i.id
        ON CONFLICT (workspace_id, id) DO NOTHING
        RETURNING id, source_id, campaign_id, occurred_at, type, verdict, recipient_id, message_id, received_at
    ), noted AS (
        {NOTE.format(WORKSPACE="$1", ZONE="(SELECT zone FROM workspace WHERE workspace_id = $1)")}
    ), waiting AS (
        INSERT INTO unjudged (workspace_id, id, events, noted_at)
        SELECT $1, gen_random_uuid(), array_agg(id), max(received_at) FROM fresh
        WHERE type = ANY ('{{{",".join(sorted(LOOKED_AT))}}}') AND recipient_id IS NOT NULL HAVING count(*) > 0
    ), {HEARD.format(SOURCES="$17::uuid[]", TIMES="$18::timestamptz[]")}
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
    months, spaces = Months(database), dict[UUID, tuple[bytes, TagBook]]()

    async def commit(workspace_id: UUID, posts: Sequence[Post]) -> None:
        if workspace_id not in spaces:
            if len(spaces) >= MOST_SPACES:
                spaces.clear()
            spaces[workspace_id] = address_key(secret_key, workspace_id), TagBook()
        key, book = spaces[workspace_id]
        batch = Batch(key, posts)
        await months.have(batch.months)
        async with database.driving(workspace_id, _BEGIN % workspace_id + batch.planning) as connection:
            known = await batch.store(connection, workspace_id, book)
        book.keep(known)
        for source_id, stored, unmapped in batch.new:
            intake.note(workspace_id, source_id, posts[0].received_at, stored=stored, unmapped=unmapped)

    return commit


class Batch:
    """What several posts hold, each event once, as it goes to the database."""

    @property
    def planning(self) -> str:
        """Of few events the statement takes less than its plan. Of many, the plan depends on how many."""
        return "; SET LOCAL plan_cache_mode = force_generic_plan" if len(self._fields[0]) <= FEW else ""

    def __init__(self, key: bytes, posts: Sequence[Post]) -> None:
        self._posts = posts
        # Once stored: how many of each source are new, and how many of these are of no campaign.
        self.new: Sequence[tuple[UUID, int, int]] = ()
        people: dict[str | None, int | None] = {None: None}
        tags: dict[Tags, int | None] = {(): None}
        days: set[int] = set()
        kinds: dict[tuple[Any, ...], int] = {}
        found: dict[bytes, tuple[Any, ...]] = {}
        for post in posts:
            source_id, received_at, salted = post.source_id, post.received_at, salt(post.source_id)
            for event in post.reading.events:
                event_key, kind, recipient, message_id, url, tagged, occurred_at, verdict, reasons = event
                at = micros(occurred_at)
                place = event_id(salted, event_key, at)
                if place not in found:
                    days.add(at // 86_400_000_000)
                    alike = (source_id, received_at, kind, tags.setdefault(tagged, len(tags)), verdict, reasons)
                    found[place] = (
                        kinds.setdefault(alike, len(kinds) + 1), people.setdefault(recipient, len(people)), message_id,
                        url, at,
                    )  # fmt: skip
        *alike_of, reasons_of = zip(*kinds, strict=True) if kinds else [()] * 6
        self._fields: list[Sequence[Any]] = [
            list(map(pgproto.UUID, found)), *zip(*found.values(), strict=True),
            *alike_of, [",".join(each) for each in reasons_of],
        ]  # fmt: skip
        self._people, self._tags = [each for each in people if each is not None], list(tags)[1:]
        self._hashes = hashes_of(key, self._people)
        self.months = {month((EPOCH + timedelta(days=day)).date()) for day in days}

    async def store(self, connection: Any, workspace_id: UUID, book: TagBook) -> dict[Tags, UUID]:
        """Stores all of it and notes what is new; the ids of the sets of tags, once this is committed."""
        known: dict[Tags, UUID] = {}
        heard = latest((post.source_id, post.received_at) for post in self._posts)
        if self.months:
            known = await book.ids(connection, workspace_id, self._tags)
            tag_sets = [known[tags] for tags in self._tags]
            self.new = await connection.fetch(
                _STORE, workspace_id, self._hashes, self._people, tag_sets, *self._fields, *heard
            )
        else:
            await heard_from(connection, workspace_id, heard)
        unreadable = [(post, each) for post in self._posts for each in post.reading.unreadable]
        if unreadable:
            await quarantine(connection, workspace_id, unreadable)
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
    await batch.store(connection, workspace_id, TagBook())
    return sum(stored for _, stored, _ in batch.new)


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
