"""Decides what is remembered of who did what: every change of a tenant's row by the session, in its transaction."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic_core import to_jsonable_python
from sqlalchemy import column, event, insert, inspect, table
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, UOWTransaction

from chassis.fields import new_id

# In a table's or a column's `info`. A table that is a record of its own (ledger entries), or that only the system
# writes (evaluations), isn't audited; of a secret, and of what must be erasable, it is only told that it changed.
UNAUDITED = {"audited": False}
HIDDEN = {"hidden": True}
UNTOLD = "(not shown)"
# What goes without saying: the entry names them, or they follow from it.
IMPLIED = {"workspace_id", "id", "version"}

# Without a schema, as each part's search path leads to its own.
AUDIT = table(
    "audit",
    column("workspace_id"), column("id"), column("at"), column("actor"), column("operation"), column("request_id"),
    column("action"), column("kind"), column("row_id"), column("changes", JSONB),
)  # fmt: skip


class Action(StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"


@dataclass(frozen=True)
class Acting:
    """In whose name something is changed, where one transaction carries several people's changes."""

    actor: str
    operation: str
    request_id: str


class AuditedSession(Session):
    """A session that writes down what it changes, in the same flush: neither happens without the other."""


@event.listens_for(AuditedSession, "after_flush")
def _write_down(session: Session, _: UOWTransaction) -> None:
    entries = [
        *(_entry(session, row, Action.CREATED) for row in session.new),
        *(_entry(session, row, Action.CHANGED) for row in session.dirty),
        *(_entry(session, row, Action.DELETED) for row in session.deleted),
    ]
    found = [entry for entry in entries if entry]
    if found:
        session.connection().execute(insert(AUDIT), found)


async def write_down(
    session: AsyncSession, model: Any, changed: Sequence[tuple[Mapping[str, Any], Mapping[str, Any], Acting]]
) -> None:
    """The same for rows that a statement of one's own changes, which the session doesn't see: what each was, what of it
    becomes what, and by whom."""
    described, info = model.__table__, session.info
    entries = []
    for row, new, acting in changed:
        told = [
            {"field": name, "old": _told(row[name], hidden=hidden), "new": _told(value, hidden=hidden)}
            for name, value in new.items()
            if name not in IMPLIED and row[name] != value
            for hidden in [described.columns[name].info.get("hidden", False)]
        ]
        entries.append({
            "workspace_id": row["workspace_id"], "id": new_id(), "at": info["clock"](), "actor": acting.actor,
            "operation": acting.operation, "request_id": acting.request_id, "action": Action.CHANGED.value,
            "kind": described.name, "row_id": row["id"], "changes": told,
        })  # fmt: skip
    if entries:
        await session.execute(insert(AUDIT), entries)


def _entry(session: Session, row: Any, action: Action) -> dict[str, Any] | None:
    state = inspect(row)
    described = state.mapper.local_table
    if not described.info.get("audited", True):
        return None
    changes = list(_changes(state, action))
    if not changes and action is Action.CHANGED:
        return None
    info = session.info
    return {
        "workspace_id": row.workspace_id, "id": new_id(), "at": info["clock"](), "actor": info["actor"],
        "operation": info["operation"], "request_id": info["request_id"], "action": action.value,
        "kind": described.name, "row_id": getattr(row, "id", None), "changes": changes,
    }  # fmt: skip


def _changes(state: Any, action: Action) -> Iterator[dict[str, Any]]:
    """Field by field, from what to what."""
    for attribute in state.mapper.column_attrs:
        if attribute.key in IMPLIED:
            continue
        value = getattr(state.object, attribute.key)
        if action is Action.CHANGED:
            old = next(iter(state.attrs[attribute.key].history.deleted or ()), value)
            new = value
        else:
            old, new = (None, value) if action is Action.CREATED else (value, None)
        if old == new:
            continue
        hidden = attribute.columns[0].info.get("hidden", False)
        yield {"field": attribute.key, "old": _told(old, hidden=hidden), "new": _told(new, hidden=hidden)}


def _told(value: Any, *, hidden: bool) -> Any:
    if value is None:
        return None
    return UNTOLD if hidden or isinstance(value, bytes) else to_jsonable_python(value)
