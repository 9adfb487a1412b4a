"""Decides how what happened is read for those who listen: by position, a page at a time."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, TIMESTAMP, BigInteger, Integer, Text, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from chassis.fields import rfc3339
from chassis.reading import Reader
from gateway.happening.models import cursor_of

PAGE = 200


@dataclass(frozen=True, slots=True)
class Heard:
    """An event as it is told: `row` is what the list answers of it."""

    position: int
    part: str
    type: str
    subject: str
    trace: str | None
    row: Mapping[str, Any]


async def newest(reader: Reader) -> int:
    """The last position in the workspace."""
    ((position,),) = await reader.execute(_NEWEST, {"workspace": workspace_of(reader)})
    return int(position)


async def heard(reader: Reader, after: int, upto: int | None = None) -> list[Heard]:
    """What happened after one position, up to another one."""
    given = {"workspace": workspace_of(reader), "after": after, "upto": upto, "most": PAGE}
    return [
        Heard(
            each.position, each.part, each.type, each.subject, each.trace,
            {
                "id": str(each.id), "type": each.type, "part": each.part, "subject": each.subject,
                "data": json.loads(each.data), "occurred_at": rfc3339(each.occurred_at),
                "cursor": cursor_of(each.position, each.received_at),
            },
        )
        for each in await reader.execute(_HEARD, given)
    ]  # fmt: skip


async def look(session: AsyncSession, workspaces: Collection[UUID]) -> list[Any]:
    """Of each workspace its last position, and whether it is open (worker transaction)."""
    return list((await session.execute(_LOOK, {"workspaces": list(workspaces)})).all())


_WORKSPACE = bindparam("workspace", type_=Uuid)
_NEWEST = (
    text("SELECT coalesce(max(position), 0) AS position FROM happening WHERE workspace_id = :workspace")
    .bindparams(_WORKSPACE)
    .columns(position=BigInteger)
)
_HEARD = (
    text("""
    SELECT position, id, part, type, subject, trace, cast(data AS text) AS data, occurred_at, received_at FROM happening
    WHERE workspace_id = :workspace AND position > :after AND (cast(:upto AS bigint) IS NULL OR position <= :upto)
    ORDER BY position LIMIT :most
""")
    .bindparams(
        _WORKSPACE, bindparam("after", type_=BigInteger), bindparam("upto", type_=BigInteger),
        bindparam("most", type_=Integer),
    )
    .columns(
        position=BigInteger, id=Uuid, part=Text, type=Text, subject=Text, trace=Text, data=Text,
        occurred_at=TIMESTAMP(timezone=True), received_at=TIMESTAMP(timezone=True),
    )
)  # fmt: skip
_LOOK = text("""
    SELECT w.workspace_id, w.state = 'active' AS is_open,
           (SELECT max(h.position) FROM happening h WHERE h.workspace_id = w.workspace_id) AS position
    FROM workspace w WHERE w.workspace_id = ANY(:workspaces)
""").bindparams(bindparam("workspaces", type_=ARRAY(Uuid)))
