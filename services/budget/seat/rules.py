"""Decides what an idle seat is, what it costs to the cent, and how a tool's list of who used it is read."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

from chassis.errors import Invalid
from services.budget.contract.rules import months_later

# Without use for so many days, today among them, a seat is idle; unless the caller says otherwise.
IDLE_DAYS = 30
FIRST_USE = date(2000, 1, 1)
LONGEST_ADDRESS = 254


def apportioned(total: int, weights: Sequence[Fraction | int]) -> list[int]:
    """A total in whole units by weight, with nothing lost or made: each gets its share rounded down, and what is left
    goes one by one to the largest remainders, the first of equal ones first (Hamilton's method)."""
    whole = sum(weights, Fraction(0))
    if whole == 0:
        return [0] * len(weights)
    shares = [Fraction(total) * weight / whole for weight in weights]
    parts = [int(share // 1) for share in shares]
    by_remainder = sorted(range(len(parts)), key=lambda place: (parts[place] - shares[place], place))
    for place in by_remainder[: total - sum(parts)]:
        parts[place] += 1
    return parts


def months_of(start: date, end: date, turns_on: int) -> list[tuple[date, date]]:
    """A term's months, each from its first day up to but without its last: the first begins with the term, the others
    on the day of the month that it turns on, and the last is cut where the term ends."""
    edges = [start]
    while edges[-1] < end:
        edges.append(months_later(start, len(edges), turns_on))
    return [(first, min(last, end)) for first, last in pairwise(edges)]


def cost_of_month(cost: int, start: date, end: date, turns_on: int, today: date) -> int:
    """What of a term's cost falls on the month that today is in, or on the nearest one. Whole months cost the same but
    for a cent, a cut one as much less as it is shorter; together they cost what the term does."""
    months = months_of(start, end, turns_on)
    weights: list[Fraction | int] = [1] * len(months)
    full = (months_later(start, len(months), turns_on) - months[-1][0]).days
    weights[-1] = Fraction((end - months[-1][0]).days, full)
    place = max((number for number, (first, _) in enumerate(months) if first <= today), default=0)
    return apportioned(cost, weights)[place]


def idle_since(today: date, idle_days: int) -> date:
    """The last day of use that makes a seat idle today."""
    return today - timedelta(days=idle_days)


@dataclass(frozen=True)
class Counted:
    """The seats of one contract that one department has."""

    department: str
    assigned: int
    idle: int


@dataclass(frozen=True)
class Bought:
    """What was bought: a term's cost in minor units, and how many seats it buys; None where that isn't said."""

    cost: int
    currency: str
    seats: int | None
    department: str
    start: date
    end: date
    turns_on: int


@dataclass(frozen=True)
class DepartmentWaste:
    """What a department has of a contract, and what its idle seats cost in a month."""

    department: str
    assigned: int
    idle: int
    wasted: int


@dataclass(frozen=True)
class Waste:
    """What is paid for and not used. `unassigned` seats are nobody's, and waste as idle ones do; `over` are assigned
    and weren't bought."""

    currency: str
    bought: int | None
    assigned: int
    idle: int
    unassigned: int
    over: int
    cost_monthly: int
    wasted_monthly: int
    wasted_term: int
    departments: tuple[DepartmentWaste, ...] = field(default=())

    @property
    def used(self) -> int:
        return self.assigned - self.idle


def waste(bought: Bought, counted: Sequence[Counted], today: date) -> Waste | None:
    """What of a contract is wasted; None where no seats are known of it. Seats cost the same but for a cent; those that
    are used and those that aren't cost together what the contract does. Seats that nobody has are the contract's own
    department's."""
    assigned, idle = sum(each.assigned for each in counted), sum(each.idle for each in counted)
    whole = max(bought.seats or 0, assigned)
    if whole == 0:
        return None
    unassigned = whole - assigned
    groups = [assigned - idle, unassigned, *(each.idle for each in counted)]
    month = cost_of_month(bought.cost, bought.start, bought.end, bought.turns_on, today)
    _, nobodys, *wasted = apportioned(month, groups)
    by_department = {
        each.department: DepartmentWaste(each.department, each.assigned, each.idle, minor)
        for each, minor in zip(counted, wasted, strict=True)
    }
    if nobodys or unassigned:
        own = by_department.get(bought.department, DepartmentWaste(bought.department, 0, 0, 0))
        by_department[own.department] = DepartmentWaste(own.department, own.assigned, own.idle, own.wasted + nobodys)
    return Waste(
        bought.currency, bought.seats, assigned, idle, unassigned,
        max(0, assigned - bought.seats) if bought.seats is not None else 0, month, nobodys + sum(wasted),
        sum(apportioned(bought.cost, groups)[1:]),
        tuple(by_department[name] for name in sorted(by_department)),
    )  # fmt: skip


@dataclass(frozen=True)
class Use:
    """That somebody used a tool on a day; `row` says where that was told."""

    row: int
    address: str
    day: date


@dataclass(frozen=True)
class BadRow:
    """A row that can't be read: never what it holds, as that may be somebody's address."""

    row: int
    field: str
    code: str
    message: str


def assert_day(day: date, today: date, field: str) -> None:
    """Raises Invalid, naming the field, unless a day of use has been."""
    if not FIRST_USE <= day <= today:
        raise Invalid.field(field, f"days of use are from {FIRST_USE} to today", "impossible_day")


def read_uses(
    content: str, address_column: str, day_column: str, zone: ZoneInfo, today: date
) -> tuple[list[Use], list[BadRow]]:
    """What a CSV with a header tells, rows counted from 1 below it; a bad row costs no other. Semicolons and tabs
    separate too. Invalid, naming `content`, when the header lacks a column."""
    text = content.removeprefix("\ufeff")
    header = text.partition("\n")[0]
    separator = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text), delimiter=separator)
    try:
        rows = [row for row in reader if any(cell.strip() for cell in row)]
    except csv.Error:
        raise Invalid.field("content", "not CSV", "malformed") from None
    names = [cell.strip().lower() for cell in rows[0]] if rows else []
    for column in (address_column, day_column):
        if names.count(column.strip().lower()) != 1:
            raise Invalid.field("content", "its header has a column that is named not at all or twice", "no_column")
    places = {"address": names.index(address_column.strip().lower()), "day": names.index(day_column.strip().lower())}
    uses: list[Use] = []
    bad: list[BadRow] = []
    for number, row in enumerate(rows[1:], 1):
        found = _read_row(number, row, places, zone, today)
        if isinstance(found, Use):
            uses.append(found)
        else:
            bad.append(found)
    return uses, bad


def _read_row(number: int, row: Sequence[str], places: Mapping[str, int], zone: ZoneInfo, today: date) -> Use | BadRow:
    cells = {name: row[place].strip() if place < len(row) else "" for name, place in places.items()}
    name, at, host = cells["address"].lower().partition("@")
    address = f"{name}{at}{host}"
    if not (name and host) or len(address) > LONGEST_ADDRESS or any(each.isspace() for each in address) or "@" in host:
        return BadRow(number, "address", "malformed", "not an e-mail address")
    try:
        day = _day(cells["day"], zone)
    except (ValueError, OverflowError):
        return BadRow(number, "day", "malformed", "neither a day (2026-03-01) nor an instant with its offset")
    if not FIRST_USE <= day <= today:
        return BadRow(number, "day", "impossible_day", f"days of use are from {FIRST_USE} to today")
    return Use(number, address, day)


def _day(cell: str, zone: ZoneInfo) -> date:
    """A day, or the workspace's day at an instant; an instant without an offset is the workspace's own."""
    if len(cell) <= len("2026-03-01"):
        return date.fromisoformat(cell)
    moment = datetime.fromisoformat(cell)
    return (moment.astimezone(UTC).astimezone(zone) if moment.tzinfo else moment).date()
