"""Decides how sources are kept, and found by the token in their URL before a workspace is known."""

import asyncio
import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database, workspace_of
from chassis.errors import NotFound
from chassis.reading import Source as ReadFrom
from chassis.secrets import Sealer
from services.metrics.event.rules import Traps, network
from services.metrics.source.models import COUNTS
from services.metrics.source.platforms.platform import Claim
from services.metrics.source.rules import Labels, PlatformName, SourceState, hash_token

PURPOSE = "source-credentials"
# How long a process goes on with what it read of a source; a secret that is taken away works so much longer.
REMEMBER_SECONDS = 5.0
REMEMBERED = 10_000
COUNTS_KEPT = timedelta(days=31)
# Longer than the oldest signature that is taken, by either clock.
CLAIMS_KEPT = timedelta(days=2)


def _place(workspace_id: UUID, source_id: UUID) -> str:
    return f"{workspace_id}/{source_id}"


def seal_credentials(sealer: Sealer, workspace_id: UUID, source_id: UUID, credentials: Mapping[str, Any]) -> bytes:
    return sealer.seal(json.dumps(credentials).encode(), _place(workspace_id, source_id))


Heard = tuple[list[UUID], list[datetime]]
# Parts of a WITH: moves the watermark of each source in workspace $1 on to when its latest post arrived, never back.
HEARD = """
    latest AS (
        SELECT * FROM unnest({SOURCES}, {TIMES}) AS each(id, at)
    ), held AS (  -- in one order for all writers, or they deadlock
        SELECT s.id, l.at FROM source s JOIN latest l ON l.id = s.id WHERE s.workspace_id = $1
        ORDER BY s.id FOR NO KEY UPDATE OF s
    ), heard AS (
        UPDATE source SET received_at = greatest(source.received_at, held.at) FROM held
        WHERE source.workspace_id = $1 AND source.id = held.id
    )
"""
_HEAR = f"WITH {HEARD.format(SOURCES='$2::uuid[]', TIMES='$3::timestamptz[]')} SELECT"


def latest(posts: Iterable[tuple[UUID, datetime]]) -> Heard:
    """The sources of posts, and when the latest of each arrived."""
    found = dict(sorted(posts))
    return list(found), list(found.values())


async def heard_from(connection: Any, workspace_id: UUID, heard: Heard) -> None:
    """Moves the watermarks on, on the driver."""
    await connection.execute(_HEAR, workspace_id, *heard)


@dataclass
class Count:
    """What came to a source in an hour, and what became of it."""

    received: int = 0
    stored: int = 0
    unmapped: int = 0
    quarantined: int = 0
    refused: int = 0


async def add_counts(session: AsyncSession, counts: Mapping[tuple[UUID, datetime], Count]) -> None:
    """Adds to the counts of each source and hour."""
    places = sorted(counts)  # one order for all writers, or they deadlock
    await session.execute(
        text("""
            INSERT INTO intake (workspace_id, source_id, hour, received, stored, unmapped, quarantined, refused)
            SELECT :workspace, each.* FROM unnest(
                cast(:sources AS uuid[]), cast(:hours AS timestamptz[]), cast(:received AS bigint[]),
                cast(:stored AS bigint[]), cast(:unmapped AS bigint[]), cast(:quarantined AS bigint[]),
                cast(:refused AS bigint[])
            ) AS each
            ON CONFLICT (workspace_id, source_id, hour) DO UPDATE SET
                received = intake.received + excluded.received, stored = intake.stored + excluded.stored,
                unmapped = intake.unmapped + excluded.unmapped, refused = intake.refused + excluded.refused,
                quarantined = intake.quarantined + excluded.quarantined
        """),
        {
            "workspace": workspace_of(session), "sources": [source_id for source_id, _ in places],
            "hours": [hour for _, hour in places],
            **{
                name: [getattr(counts[place], name) for place in places]
                for name in COUNTS
            },
        },
    )  # fmt: skip


_COUNTS = text("""
    SELECT s.id, s.state, s.received_at, coalesce(i.received, 0) AS received, coalesce(i.stored, 0) AS stored,
        coalesce(i.unmapped, 0) AS unmapped, coalesce(i.quarantined, 0) AS quarantined,
        coalesce(i.refused, 0) AS refused
    FROM source s LEFT JOIN (
        SELECT source_id, sum(received)::bigint AS received, sum(stored)::bigint AS stored,
            sum(unmapped)::bigint AS unmapped, sum(quarantined)::bigint AS quarantined, sum(refused)::bigint AS refused
        FROM intake WHERE source_id = ANY(:ids) AND hour >= :since GROUP BY source_id
    ) i ON i.source_id = s.id
    WHERE s.id = ANY(:ids) ORDER BY s.id
""")


async def counts_of(reader: ReadFrom, source_ids: Collection[UUID], since: datetime) -> Sequence[Any]:
    """Each source's state, watermark, and counts since then; sources that don't exist are left out."""
    return (await reader.execute(_COUNTS, {"ids": list(source_ids), "since": since})).all()


async def claimed(session: AsyncSession, source_id: UUID, claim: Claim, now: datetime) -> bool:
    """Whether a signature belongs to this body: it was shown with it first, or is shown for the first time now."""
    held = await session.scalar(
        text("""
            INSERT INTO claim (workspace_id, source_id, signed, body, claimed_at)
            VALUES (:workspace, :source, :signed, :body, :now)
            ON CONFLICT (workspace_id, source_id, signed) DO UPDATE SET body = claim.body
            RETURNING body
        """),
        {
            "workspace": workspace_of(session), "source": source_id, "signed": claim.signed, "body": claim.body,
            "now": now,
        },
    )  # fmt: skip
    return bytes(held) == claim.body


async def forget(session: AsyncSession, now: datetime) -> None:
    """Deletes counts and claims that nobody looks at any more (worker transaction)."""
    await session.execute(text("DELETE FROM intake WHERE hour < :t"), {"t": now - COUNTS_KEPT})
    await session.execute(text("DELETE FROM claim WHERE claimed_at < :t"), {"t": now - CLAIMS_KEPT})


@dataclass(frozen=True)
class KnownSource:
    """What a post needs to be checked and read."""

    workspace_id: UUID
    id: UUID
    platform: PlatformName
    state: SourceState
    labels: Labels
    credentials: Mapping[str, Any] = field(repr=False)
    old_credentials: Mapping[str, Any] | None = field(default=None, repr=False)
    old_credentials_end_at: datetime | None = None
    # When the token that it was found by is none any more.
    ends_at: datetime | None = None

    def live(self, now: datetime) -> list[Mapping[str, Any]]:
        """The credentials that are taken now: the newest first, and those before them until they end."""
        if self.state is SourceState.AWAITING:
            return []
        if self.old_credentials is None or self.old_credentials_end_at is None or self.old_credentials_end_at <= now:
            return [self.credentials]
        return [self.credentials, self.old_credentials]


def labels_of(row: Any) -> Labels:
    """What a source's row says of how its events are read."""
    traps = Traps(frozenset(row.honeypots), tuple(map(network, row.bot_networks)))
    return Labels(tuple(row.campaign_by), traps)


_FIND = text("""
    SELECT workspace_id, id, platform, state, campaign_by, honeypots, bot_networks, credentials, old_credentials,
        old_credentials_end_at,
        CASE WHEN token_hash = :hash THEN NULL ELSE old_token_ends_at END AS ends_at
    FROM source WHERE token_hash = :hash OR old_token_hash = :hash
""")


class SourceBook:
    """Finds sources by token, and remembers them for a moment: a platform posts many times a second."""

    def __init__(self, database: Database, sealer: Sealer, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._sealer = sealer
        self._clock = clock
        self._known: dict[bytes, tuple[float, KnownSource]] = {}
        self._reading: dict[bytes, asyncio.Task[KnownSource]] = {}

    async def find(self, token: str, now: datetime) -> KnownSource:
        """The source whose URL holds the token; NotFound when there is none, or no more."""
        token_hash = hash_token(token)
        until, known = self._known.get(token_hash, (0.0, None))
        if known is None or until < self._clock():
            known = await self._read_once(token_hash)
        if known.ends_at is not None and known.ends_at <= now:
            raise _none()
        return known

    def remembered(self, token: str, now: datetime) -> KnownSource | None:
        """The same, if it needn't be looked up: `find` has it otherwise, and says what is wrong."""
        until, known = self._known.get(hash_token(token), (0.0, None))
        ended = known is None or until < self._clock() or (known.ends_at is not None and known.ends_at <= now)
        return None if ended else known

    def platform_of(self, token: str) -> PlatformName | None:
        """Whose URL it was when it was last looked up, however long ago: what to answer while nobody can look."""
        _, known = self._known.get(hash_token(token), (0.0, None))
        return known.platform if known else None

    def forget(self, source_id: UUID) -> None:
        """Has a source looked up again: something of it changed here. Elsewhere it is by itself, soon."""
        self._known = {key: each for key, each in self._known.items() if each[1].id != source_id}

    async def _read_once(self, token_hash: bytes) -> KnownSource:
        """Reads it once for all who ask at the same time."""
        reading = self._reading.get(token_hash)
        if reading is None:
            reading = self._reading[token_hash] = asyncio.create_task(self._read(token_hash))
            reading.add_done_callback(lambda done: self._read_by(token_hash, done))
        # Whoever hangs up stops nobody else's reading.
        return await asyncio.shield(reading)

    def _read_by(self, token_hash: bytes, done: "asyncio.Task[KnownSource]") -> None:
        self._reading.pop(token_hash, None)
        if not done.cancelled():
            done.exception()  # those who ask hear of it; if all have hung up, nobody needs to

    async def _read(self, token_hash: bytes) -> KnownSource:
        # From before it is read: what changes meanwhile isn't seen any longer than what changes after.
        until = self._clock() + REMEMBER_SECONDS
        async with self._database.worker() as session:
            row = (await session.execute(_FIND, {"hash": token_hash})).one_or_none()
        if row is None:
            self._known.pop(token_hash, None)
            raise _none()
        place = _place(row.workspace_id, row.id)
        known = KnownSource(
            row.workspace_id, row.id, PlatformName(row.platform), SourceState(row.state),
            labels_of(row), json.loads(self._sealer.open(row.credentials, place)),
            json.loads(self._sealer.open(row.old_credentials, place)) if row.old_credentials else None,
            row.old_credentials_end_at, row.ends_at,
        )  # fmt: skip
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[token_hash] = (until, known)
        return known


def _none() -> NotFound:
    return NotFound("there is no webhook at this address")
