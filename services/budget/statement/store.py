"""Decides how imports, the pieces of their files and what became of their rows are read and written."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from chassis.fields import new_id
from chassis.reading import Source
from services.budget.statement.models import StatementRow

COUNTED = ("seen", "posted", "exceptions", "duplicates", "bad", "undone")


async def add_part(session: AsyncSession, statement_id: UUID, place: int, data: bytes) -> None:
    await session.execute(
        _ADD_PART,
        {"workspace": workspace_of(session), "id": new_id(), "statement": statement_id, "place": place, "data": data},
    )


async def parts_of(session: AsyncSession, statement_id: UUID, place: int | None = None) -> list[bytes]:
    """The pieces in their order, or the one at a place."""
    asked = {"workspace": workspace_of(session), "statement": statement_id, "place": place}
    return list((await session.scalars(_PARTS, asked)).all())


async def drop_parts(session: AsyncSession, statement_id: UUID) -> None:
    await session.execute(_DROP_PARTS, {"workspace": workspace_of(session), "statement": statement_id})


async def drop_old_parts(session: AsyncSession, until: datetime) -> None:
    """Forgets the files of dry runs that nobody posted in time."""
    await session.execute(_DROP_OLD, {"workspace": workspace_of(session), "until": until})


async def note_progress(session: AsyncSession, statement_id: UUID, position: int, counts: Mapping[str, int]) -> None:
    """Moves an import's position, with what its rows came to."""
    more = {name: counts.get(name, 0) for name in COUNTED}
    asked = {"workspace": workspace_of(session), "statement": statement_id, "position": position, **more}
    await session.execute(_PROGRESS, asked)


async def add_rows(session: AsyncSession, rows: Sequence[Mapping[str, Any]]) -> set[UUID]:
    """Adds rows, those with a claim only where nobody holds it; the ids of those that were added. Claims are taken in
    their order, so that no two imports wait for each other."""
    found = await session.execute(_ADD_ROWS, {"rows": _json(rows)})
    return {row.id for row in found.all()}


async def holders(source: Source, claims: Iterable[bytes]) -> dict[bytes, UUID]:
    """The rows that hold these claims."""
    asked = {"workspace": workspace_of(source), "claims": list(claims)}
    return {bytes(row.claim): row.id for row in (await source.execute(_HOLDERS, asked)).all()}


async def settle_rows(session: AsyncSession, changes: Sequence[Mapping[str, Any]]) -> None:
    """Writes down what became of rows otherwise than was noted when they were added."""
    if changes:
        await session.execute(_SETTLE, {"workspace": workspace_of(session), "changes": _json(changes)})


async def drop_rows(session: AsyncSession, statement_id: UUID) -> None:
    await session.execute(
        text("DELETE FROM statement_row WHERE workspace_id = :workspace AND statement_id = :statement"),
        {"workspace": workspace_of(session), "statement": statement_id},
    )


async def orders_and_holds(source: Source, request_ids: Iterable[UUID]) -> Sequence[Any]:
    """Orders and what is held for them, as they stand; of each its `kind`."""
    return await _found(source, _STAND, ids=list(request_ids))


async def rehearse(session: AsyncSession, kind: str, changes: Sequence[Mapping[str, Any]]) -> None:
    """Brings holds or orders to where the chunks before would have left them."""
    if changes:
        await session.execute(_REHEARSE[kind], {"workspace": workspace_of(session), "changes": _json(changes)})


async def note_rehearsed(session: AsyncSession, statement_id: UUID, kept: Mapping[str, Any] | None) -> None:
    """Keeps what a dry run would have changed so far, until it is over."""
    asked = {"workspace": workspace_of(session), "statement": statement_id}
    await session.execute(_NOTE_REHEARSED, {**asked, "kept": None if kept is None else to_json(kept).decode()})


async def counting_rows(source: Source, statement_id: UUID, after: int, most: int) -> list[Any]:
    """Rows that something was posted or kept for, in the order of the file from a row on."""
    asked = {"workspace": workspace_of(source), "statement": statement_id, "after": after, "most": most}
    return list((await source.execute(_COUNTING, asked)).all())


async def rows_after(source: Source, statement_id: UUID, number: int, most: int) -> list[Any]:
    """What became of the rows after a row of the file."""
    asked = {"workspace": workspace_of(source), "statement": statement_id, "after": number, "most": most}
    return list((await source.execute(_AFTER, asked)).all())


async def orders_numbered(source: Source, numbers: Sequence[str]) -> Sequence[Any]:
    """The requests with these purchase order numbers."""
    return await _found(source, _ORDERS, numbers=list(numbers)) if numbers else ()


async def lines_called(source: Source, names: Sequence[str], ids: Sequence[UUID]) -> Sequence[Any]:
    """The lines with one of these names or ids."""
    return await _found(source, _LINES, names=list(names), ids=list(ids))


async def open_orders(source: Source, pairs: Collection[tuple[UUID, str]]) -> Sequence[Any]:
    """Orders that aren't closed, of any of these lines with the vendor beside it."""
    lines, vendors = zip(*pairs, strict=True) if pairs else ((), ())
    return await _found(source, _OPEN, lines=list(lines), vendors=list(vendors)) if lines else ()


async def lock_orders(session: AsyncSession, request_ids: Iterable[UUID]) -> set[UUID]:
    """Locks orders and what is held for them; the lines that it is held on."""
    await _found(session, _LOCK_REQUESTS, ids=list(request_ids))
    return {row.line_id for row in await _found(session, _LOCK_HOLDS, ids=list(request_ids))}


async def lock_invoices(session: AsyncSession, ids: Sequence[UUID]) -> Sequence[Any]:
    """Locks invoices; each with its order."""
    return await _found(session, _LOCK_INVOICES, ids=list(ids)) if ids else ()


async def invoice_of(source: Source, vendor: str, number: str) -> Any:
    """The invoice with a vendor's number, and whether it came by hand; None if there is none."""
    return next(iter(await _found(source, _SAME_NUMBER, vendor=vendor, number=number)), None)


async def note_invoice(session: AsyncSession, row_id: UUID, invoice_id: UUID) -> None:
    asked = {"workspace": workspace_of(session), "id": row_id, "invoice": invoice_id}
    await session.execute(_NOTE_INVOICE, asked)


async def _found(source: Source, statement: Any, **asked: Any) -> Sequence[Any]:
    found: Sequence[Any] = (await source.execute(statement, {"workspace": workspace_of(source), **asked})).all()
    return found


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    return to_json(rows).decode()


_ADD_PART = text("""
    INSERT INTO statement_part (workspace_id, id, statement_id, place, data)
    VALUES (:workspace, :id, :statement, :place, :data)
""")
_PARTS = text("""
    SELECT data FROM statement_part WHERE workspace_id = :workspace AND statement_id = :statement
        AND (cast(:place AS integer) IS NULL OR place = :place)
    ORDER BY place
""")
_DROP_PARTS = text("DELETE FROM statement_part WHERE workspace_id = :workspace AND statement_id = :statement")
_DROP_OLD = text("""
    DELETE FROM statement_part p USING statement s
    WHERE p.workspace_id = :workspace AND s.workspace_id = :workspace AND s.id = p.statement_id
        AND s.uploaded_at < :until AND s.dry_run
""")
_PROGRESS = text(f"""
    UPDATE statement SET position = :position, {", ".join(f"{name} = {name} + :{name}" for name in COUNTED)}
    WHERE workspace_id = :workspace AND id = :statement
""")  # noqa: S608
_ROW = tuple(vars(StatementRow)["__table__"].columns.keys())
_ADD_ROWS = text(f"""
    INSERT INTO statement_row ({", ".join(_ROW)})
    SELECT {", ".join(_ROW)} FROM json_populate_recordset(cast(null AS statement_row), cast(:rows AS json))
    ORDER BY claim, number
    ON CONFLICT (workspace_id, claim) DO NOTHING RETURNING id
""")  # noqa: S608
_HOLDERS = text("SELECT claim, id FROM statement_row WHERE workspace_id = :workspace AND claim = ANY(:claims)")
_SETTLE = text("""
    UPDATE statement_row SET outcome = given.outcome, code = given.code, message = given.message,
        invoice_id = coalesce(given.invoice_id, statement_row.invoice_id), spent = given.spent, worth = given.worth,
        claim = CASE WHEN given.counts THEN statement_row.claim END
    FROM json_to_recordset(cast(:changes AS json)) AS given (
        id uuid, outcome text, code text, message text, invoice_id uuid, spent bigint, worth bigint, counts boolean)
    WHERE statement_row.workspace_id = :workspace AND statement_row.id = given.id
""")
_STAND = text("""
    SELECT 'order' AS kind, id, invoiced, 0 AS original, 0 AS amount, state FROM request
    WHERE workspace_id = :workspace AND id = ANY(:ids)
    UNION ALL
    SELECT 'hold', id, 0, original, amount, state FROM hold WHERE workspace_id = :workspace AND subject_id = ANY(:ids)
""")
_REHEARSE = {
    "holds": text("""
        UPDATE hold SET original = hold.original + given.original, amount = hold.amount + given.amount,
            state = given.state
        FROM json_to_recordset(cast(:changes AS json)) AS given (id uuid, original bigint, amount bigint, state text)
        WHERE hold.workspace_id = :workspace AND hold.id = given.id
    """),
    "orders": text("""
        UPDATE request SET invoiced = request.invoiced + given.invoiced, state = given.state
        FROM json_to_recordset(cast(:changes AS json)) AS given (id uuid, invoiced bigint, state text)
        WHERE request.workspace_id = :workspace AND request.id = given.id
    """),
}
_NOTE_REHEARSED = text("""
    UPDATE statement SET rehearsed = cast(:kept AS jsonb) WHERE workspace_id = :workspace AND id = :statement
""")
_COUNTING = text("""
    SELECT id, number, outcome, line_id, invoice_id, spent, worth FROM statement_row
    WHERE workspace_id = :workspace AND statement_id = :statement AND number > :after AND claim IS NOT NULL
    ORDER BY number LIMIT :most
""")
_AFTER = text("""
    SELECT * FROM statement_row WHERE workspace_id = :workspace AND statement_id = :statement AND number > :after
    ORDER BY number LIMIT :most
""")
_ORDERS = text("""
    SELECT id, po_number, line_id, vendor FROM request WHERE workspace_id = :workspace AND po_number = ANY(:numbers)
""")
_LINES = text("""
    SELECT id, name, currency FROM line WHERE workspace_id = :workspace AND name = ANY(:names)
    UNION SELECT id, name, currency FROM line WHERE workspace_id = :workspace AND id = ANY(:ids)
""")
_OPEN = text("""
    SELECT DISTINCT r.id, i.line_id, wanted.vendor
    FROM unnest(cast(:lines AS uuid[]), cast(:vendors AS text[])) AS wanted (line_id, vendor)
    JOIN request_item i ON i.workspace_id = :workspace AND i.line_id = wanted.line_id
    JOIN request r ON r.workspace_id = :workspace AND r.id = i.request_id
        AND lower(r.vendor) = lower(wanted.vendor)
    WHERE r.state IN ('committed', 'part_invoiced')
    ORDER BY r.id
""")
_LOCK_REQUESTS = text(
    "SELECT id FROM request WHERE workspace_id = :workspace AND id = ANY(:ids) ORDER BY id FOR UPDATE"
)
_LOCK_HOLDS = text("""
    SELECT line_id FROM hold WHERE workspace_id = :workspace AND subject_id = ANY(:ids) ORDER BY line_id, id FOR UPDATE
""")
_LOCK_INVOICES = text("""
    SELECT id, request_id FROM invoice WHERE workspace_id = :workspace AND id = ANY(:ids) ORDER BY id FOR UPDATE
""")
_SAME_NUMBER = text("""
    SELECT i.id, i.state, NOT EXISTS (
        SELECT 1 FROM statement_row r WHERE r.workspace_id = i.workspace_id AND r.invoice_id = i.id) AS by_hand
    FROM invoice i WHERE i.workspace_id = :workspace AND i.vendor = :vendor AND i.number = :number
""")
_NOTE_INVOICE = text("UPDATE statement_row SET invoice_id = :invoice WHERE workspace_id = :workspace AND id = :id")
