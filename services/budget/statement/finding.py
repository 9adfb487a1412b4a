"""Decides whose money a row is: by its order, by what the file calls the line, or by what the mapping says of all."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

from chassis.errors import Conflict
from chassis.reading import Source
from services.budget.mapping.rules import Spent
from services.budget.rate import store as rates
from services.budget.rate.rules import Rate
from services.budget.statement import store


@dataclass(frozen=True)
class Target:
    """A line, and what a row takes of it; or why it can take nothing. `orders`: what it may be an invoice of, of which
    `request_id` is the one that it names."""

    code: str | None = None
    line_id: UUID | None = None
    request_id: UUID | None = None
    orders: tuple[UUID, ...] = ()
    vendor: str = ""
    rate: Rate | None = None


@dataclass(frozen=True)
class _Known:
    """What is there, of all that a chunk's rows name."""

    called: Mapping[str, UUID]
    default: UUID | None
    currencies: Mapping[UUID, str]
    named: Mapping[str, list[UUID]]
    orders: Mapping[str, Any]
    open: dict[tuple[UUID, str], list[UUID]] = field(default_factory=dict)
    rates: dict[tuple[str, str, date], Rate | None] = field(default_factory=dict)


async def find_targets(source: Source, reading: Mapping[str, Any], rows: Sequence[Spent]) -> list[Target]:
    """Where each row's money comes from; three queries for all, and one for each day's rate of another currency."""
    known = await _known(source, reading, rows)
    lines = [_line(known, row) for row in rows]
    pairs = {
        (line, row.vendor)
        for line, row in zip(lines, rows, strict=True)
        if isinstance(line, UUID) and row.vendor and not row.po_number
    }
    for order in await store.open_orders(source, pairs):
        known.open.setdefault((order.line_id, order.vendor), []).append(order.id)
    return [await _target(source, known, line, row) for line, row in zip(lines, rows, strict=True)]


async def _known(source: Source, reading: Mapping[str, Any], rows: Sequence[Spent]) -> _Known:
    called = {each["value"].casefold(): UUID(each["line_id"]) for each in reading["lines"]}
    default = UUID(reading["line_id"]) if reading["line_id"] else None
    orders = {order.po_number: order for order in await store.orders_numbered(source, _set(r.po_number for r in rows))}
    names = _set(row.line for row in rows if row.line.casefold() not in called)
    ids = {*called.values(), *(order.line_id for order in orders.values()), *filter(None, map(_id_of, names))}
    currencies: dict[UUID, str] = {}
    named: dict[str, list[UUID]] = {}
    for line in await store.lines_called(source, names, [*ids, *([default] if default else [])]):
        currencies[line.id] = line.currency
        named.setdefault(line.name, []).append(line.id)
    return _Known(called, default, currencies, named, orders)


def _line(known: _Known, row: Spent) -> UUID | str:
    """A row's line, or why there is none."""
    if not row.line:
        order = known.orders.get(row.po_number)
        found: UUID | None = order.line_id if order else known.default
        return found or "missing_line"
    line_id = known.called.get(row.line.casefold()) or _id_of(row.line)
    if line_id is None:
        several = known.named.get(row.line, [])
        if len(several) > 1:
            return "ambiguous_line"
        line_id = several[0] if several else None
    return line_id if line_id in known.currencies and line_id is not None else "unknown_line"


async def _target(source: Source, known: _Known, line: UUID | str, row: Spent) -> Target:
    order = known.orders.get(row.po_number)
    if row.po_number and order is None:
        return Target("unknown_order")
    if order is not None and row.minor < 0:
        return Target("credit_of_order")
    if isinstance(line, str):
        return Target(line)
    if order is not None:
        return Target(None, line, order.id, (order.id,), row.vendor or order.vendor or "")
    if row.minor > 0 and (maybe := known.open.get((line, row.vendor))):
        return Target(None, line, None, tuple(maybe), row.vendor)
    rate = await _rate(source, known, row, known.currencies[line])
    return Target(None if rate else "no_rate", line, None, (), row.vendor, rate)


async def _rate(source: Source, known: _Known, row: Spent, currency: str) -> Rate | None:
    key = row.currency, currency, row.dated
    if key not in known.rates:
        try:
            known.rates[key] = await rates.rate_of(source, *key)
        except Conflict:
            known.rates[key] = None
    return known.rates[key]


def _set(texts: Iterable[str]) -> list[str]:
    return list({each for each in texts if each})


def _id_of(text: str) -> UUID | None:
    try:
        return UUID(text) if len(text) == 36 else None
    except ValueError:
        return None
