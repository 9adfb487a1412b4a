"""Decides which figures can be observed of a metric, and what a CSV file of them says."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from chassis.errors import FieldError, Invalid
from services.metrics.metric.rules import Definition, MetricUnit

MOST_ROWS = 1000
NEEDED = ("metric", "day", "value")
COLUMNS = (*NEEDED, "currency", "campaign", "reference", "note")


def check_observable(metric: Definition) -> None:
    """Invalid for metrics that are computed, or that nothing new may rest on."""
    if not metric.observed:
        raise Invalid.field("metric", f"{metric.key} is computed and not observed", "not_observed")
    if metric.retired_at is not None:
        raise Invalid.field("metric", f"{metric.key} is retired", "retired")


def check_day(day: date, today: date) -> None:
    if day > today:
        raise Invalid.field("day", f"hasn't come yet; it is {today} now", "in_the_future")


def check_value(metric: Definition, value: Decimal, currency: str | None) -> None:
    """Invalid for a figure that isn't one of the metric's unit."""
    if metric.unit is MetricUnit.MONEY and currency != metric.currency:
        told = f"{metric.key} is in {metric.currency}" + ("; send it as money" if currency is None else "")
        raise Invalid.field("money", told, "currency")
    if metric.unit is not MetricUnit.MONEY and currency is not None:
        raise Invalid.field("money", f"{metric.key} is a {metric.unit}; send its value", "not_money")
    if metric.unit is MetricUnit.COUNT and value != value.to_integral_value():
        raise Invalid.field("value", "a count is a whole number", "not_whole")


@dataclass(frozen=True)
class Line:
    """A line of a CSV file, by its number there, and its cells by column."""

    number: int
    cells: dict[str, str]


def read_csv(body: bytes) -> Iterator[Line]:
    """The lines of a file after its heading; Invalid where it can't be read as a whole."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise Invalid.field("body", f"isn't UTF-8 at byte {problem.start}", "encoding") from None
    if "\0" in text:
        raise Invalid.field("body", "holds a NUL character", "nul")
    first = text.partition("\n")[0]
    separator = ";" if first.count(";") > first.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        heading = [each.strip().lower() for each in next(reader, [])]
        _check_heading(heading)
        for count, cells in enumerate(row for row in reader if any(each.strip() for each in row)):
            if count == MOST_ROWS:
                raise Invalid.field("body", f"more than {MOST_ROWS} lines; send them in several files", "too_many")
            if len(cells) != len(heading):
                words = f"line {reader.line_num} has {len(cells)} cells, the heading {len(heading)}"
                raise Invalid.field("body", words, "uneven")
            found = dict(zip(heading, map(_plain, cells), strict=True))
            yield Line(reader.line_num, {name: cell for name, cell in found.items() if cell})
    except csv.Error as problem:
        raise Invalid.field("body", f"line {reader.line_num} can't be read: {problem}", "malformed") from None


def _check_heading(heading: list[str]) -> None:
    missing = [name for name in NEEDED if name not in heading]
    unknown = [name for name in heading if name not in COLUMNS]
    twice = [name for name in heading if heading.count(name) > 1]
    errors = tuple(
        FieldError("heading", code, f"{words}: {', '.join(dict.fromkeys(names))[:200]}")
        for code, words, names in (
            ("missing", "columns are missing", missing),
            ("unknown", f"columns are none of {', '.join(COLUMNS)}", unknown),
            ("twice", "columns stand there twice", twice),
        )
        if names
    )
    if errors:
        raise Invalid(errors[0].message, errors=errors)


def _plain(cell: str) -> str:
    """A cell without the apostrophe that our own exports put before what a spreadsheet would run."""
    cell = cell.strip()
    return cell[1:] if cell[:1] == "'" and cell[1:2] in tuple("=+-@") else cell
