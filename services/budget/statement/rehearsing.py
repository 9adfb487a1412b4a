"""Decides how a dry run's chunks follow each other: each finds lines, holds and orders as those before it would have
left them, and takes all that it did back; what is kept of it is the difference that it made."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.budget.ledger import store as ledger
from services.budget.ledger.rules import Amounts, Standing
from services.budget.statement import store

# By kind and id; of a line what was added to each account, of what is held and of orders also what they became.
Kept = Mapping[str, Mapping[str, Mapping[str, Any]]]
KINDS = ("lines", "holds", "orders")


@dataclass(frozen=True)
class _Seen:
    """What a chunk may change, as it stands."""

    lines: Mapping[UUID, Standing]
    holds: Mapping[UUID, Any]
    orders: Mapping[UUID, Any]


class Rehearsal:
    """What a chunk of a dry run does, between savepoints of its own."""

    def __init__(self, kept: Kept | None, now: datetime) -> None:
        self._kept: Kept = kept or {}
        self._now = now
        self._before = _Seen({}, {}, {})

    async def begin(self, session: AsyncSession, lines: Iterable[UUID], orders: Collection[UUID]) -> None:
        """Brings what this transaction has locked to where the chunks before would have left it."""
        self._before = await _seen(session, set(lines), set(orders))
        of = self._kept.get("lines", {})
        left = [
            replace(each, balance=each.balance + Amounts(**of[str(key)]))
            for key, each in self._before.lines.items()
            if str(key) in of
        ]
        if left:
            await ledger.keep(session, self._now, left, [])
        for kind, found in (("holds", self._before.holds), ("orders", self._before.orders)):
            changes = [{"id": key, **made} for key, made in self._kept.get(kind, {}).items() if UUID(key) in found]
            await store.rehearse(session, kind, changes)

    async def end(self, session: AsyncSession) -> Kept:
        """What the chunks up to this one would have changed."""
        before = self._before
        after = await _seen(session, set(before.lines), set(before.orders))
        made = {
            "lines": {key: vars(after.lines[key].balance + -each.balance) for key, each in before.lines.items()},
            "holds": {
                key: {
                    "original": after.holds[key].original - each.original,
                    "amount": after.holds[key].amount - each.amount, "state": after.holds[key].state,
                }
                for key, each in before.holds.items()
            },
            "orders": {
                key: {"invoiced": after.orders[key].invoiced - each.invoiced, "state": after.orders[key].state}
                for key, each in before.orders.items()
            },
        }  # fmt: skip
        # What this chunk saw it saw with all that came before; the rest is as it was.
        return {kind: {**self._kept.get(kind, {}), **{str(key): each for key, each in made[kind].items()}}
                for kind in KINDS}  # fmt: skip


async def _seen(session: AsyncSession, lines: Collection[UUID], orders: Collection[UUID]) -> _Seen:
    found = await store.orders_and_holds(session, orders)
    return _Seen(
        await ledger.lock_lines(session, lines),
        {row.id: row for row in found if row.kind == "hold"}, {row.id: row for row in found if row.kind == "order"},
    )  # fmt: skip
