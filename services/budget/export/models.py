"""Decides how a row that is taken away looks: money as amounts, times as they are written everywhere."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from chassis.fields import Money, rfc3339
from services.budget.export.rules import Sheet


def cells(sheet: Sheet, row: Any) -> Iterator[object]:
    """A row's cells in the order of the headings."""
    for heading, value in zip(sheet.columns, row, strict=True):
        if value is not None and heading in sheet.money:
            currency = getattr(row, sheet.money[heading])
            yield Money.of_minor(int(value), currency).amount
        else:
            yield rfc3339(value) if isinstance(value, datetime) else value
