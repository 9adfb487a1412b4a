"""Decides how somebody's address is found and removed, wherever it stands."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from services.metrics.erasure.rules import PLACES, Found, Place, pattern, plain_part, word

_FORGET = text("""
    DELETE FROM recipient WHERE workspace_id = :workspace AND address_hash = :hash RETURNING address
""")


async def forget_recipient(session: AsyncSession, address_hash: bytes) -> str | None:
    """Removes who has this hash; the address, if it was known. Events keep an id that stands for nobody."""
    named = {"workspace": workspace_of(session), "hash": address_hash}
    address: str | None = (await session.execute(_FORGET, named)).scalar_one_or_none()
    return address


def _texts(place: Place) -> str:
    """A column as one text in lower case, that is looked through."""
    told = {
        "text": place.column, "text[]": f"array_to_string({place.column}, ' ')",
        "jsonb": f"{place.column}::text", "bytea": _bytes(place.column),
    }[place.kind]  # fmt: skip
    return f"lower({told})"


def _bytes(column: str) -> str:
    """Bytes as Postgres escapes what isn't ASCII; without the zeros that UTF-16 has between letters."""
    return rf"replace(encode({column}, 'escape'), '\000', '')"


def _names(place: Place) -> str:
    """Whether a column names somebody."""
    told = f"{_texts(place)} LIKE :some AND {_texts(place)} ~ :pattern"
    if place.kind != "bytea":
        return told
    # What a sender put into base64, as CloudEvents' data or a part of a form, says so; its lines are put together, and
    # a rest is filled up, as it may be without its end.
    joined = rf"regexp_replace(replace({_bytes(place.column)}, '\\/', '/'), '([A-Za-z0-9+/]{{60}})\r?\n', '\1', 'g')"
    filled = "decode(rpad(run[1], (length(run[1]) + 3) / 4 * 4, 'A'), 'base64')"
    return rf"""(({told}) OR ({_texts(place)} LIKE '%base64%' AND EXISTS (
        SELECT FROM regexp_matches({joined}, '[A-Za-z0-9+/]{{8,}}', 'g') AS run
        WHERE lower({_bytes(filled)}) ~ :pattern
    )))"""


def _replaced(place: Place) -> str:
    changed = "regexp_replace({}, :pattern, :word, 'gi')"
    return {
        "text": changed.format(place.column),
        "text[]": f"ARRAY(SELECT {changed.format('each')} FROM unnest({place.column}) WITH ORDINALITY AS t(each, n)"
        " ORDER BY n)",
        "jsonb": f"cast({changed.format(f'{place.column}::text')} AS jsonb)",
    }[place.kind]


async def sweep(session: AsyncSession, address: str, address_hash: bytes) -> Found:
    """Looks through all that others wrote and takes the address out; in how many rows of which columns it stood."""
    found: dict[str, int] = {}
    for place in PLACES:
        fits = f"WHERE workspace_id = :workspace AND {_names(place)}"
        statement = f"DELETE FROM {place.table} {fits}"
        if not place.goes:
            statement = f"UPDATE {place.table} SET {place.column} = {_replaced(place)} {fits}"
        bound = {
            "workspace": workspace_of(session), "pattern": pattern(address), "word": word(address_hash),
            "some": f"%{plain_part(address)}%",
        }  # fmt: skip
        if place.goes:
            del bound["word"]
        rows = await session.execute(text(f"WITH swept AS ({statement} RETURNING 1) SELECT count(*) FROM swept"), bound)
        if many := int(rows.scalar_one()):
            found[f"{place.table}.{place.column}"] = many
    # The record of who did what is only ever added to; this alone may take something out of it.
    audit = text("SELECT erase_from_audit(:pattern, :word)")
    if many := await session.scalar(audit, {"pattern": pattern(address), "word": word(address_hash)}):
        found["audit.changes"] = many
    return found


async def sweeping_workspaces(session: AsyncSession) -> Sequence[tuple[UUID, UUID]]:
    """(workspace, erasure) of those that aren't done (worker transaction)."""
    found = "SELECT workspace_id, id FROM erasure WHERE state = 'sweeping' ORDER BY requested_at"
    return [(row.workspace_id, row.id) for row in (await session.execute(text(found))).all()]
