"""Decides which columns exports have, whatever file they become."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

# Rows that are held at once: a batch is read, written, and gone.
BATCH = 5000


class ExportFormat(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"


class Kind(StrEnum):
    """What a column holds."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    MONEY = "money"
    DAY = "day"
    INSTANT = "instant"


@dataclass(frozen=True)
class Column:
    name: str
    kind: Kind = Kind.TEXT


Columns = Sequence[Column]

EVENTS: Columns = (
    *map(Column, ("id", "source_id", "campaign_id", "type", "recipient", "message_id", "url")),
    Column("occurred_at", Kind.INSTANT), Column("received_at", Kind.INSTANT), Column("verdict"), Column("reasons"),
)  # fmt: skip
SUPPRESSIONS: Columns = (
    *map(Column, ("address", "reason", "state")), Column("since", Kind.INSTANT), Column("address_hash"),
)  # fmt: skip
OF_A_SERIES: Columns = (
    Column("metric"), Column("version", Kind.INTEGER), Column("unit"), Column("currency"), Column("group"),
    Column("start", Kind.DAY), Column("value", Kind.NUMBER), Column("numerator", Kind.NUMBER),
    Column("denominator", Kind.NUMBER), Column("completeness", Kind.NUMBER), Column("quality"),
    Column("money", Kind.MONEY),
)  # fmt: skip
