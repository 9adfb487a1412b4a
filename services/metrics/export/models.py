"""Decides how rows become a file while they are read: as CSV, or as Parquet."""

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date, datetime
from typing import Any

from chassis.fields import rfc3339
from chassis.spreadsheet import csv_lines
from services.metrics.export.rules import Columns, ExportFormat, Kind

Batch = Sequence[Sequence[Any]]
# Digits of an amount, and how many of them stand behind the point: as many as any currency has.
MONEY = 38, 4
MEDIA = {ExportFormat.CSV: "text/csv", ExportFormat.PARQUET: "application/vnd.apache.parquet"}


async def written(file: ExportFormat, columns: Columns, batches: AsyncIterator[Batch]) -> AsyncIterator[bytes]:
    """The file's bytes as its batches come in; no more than a batch of it is ever held."""
    if file is ExportFormat.CSV:
        yield csv_lines([[each.name for each in columns]]).encode()
        async for batch in batches:
            yield csv_lines([_told(cell) for cell in row] for row in batch).encode()
        return
    parquet = _Parquet(columns)
    async for batch in batches:
        yield parquet.add(batch)
    yield parquet.end()


def _told(cell: Any) -> Any:
    if isinstance(cell, datetime):
        return rfc3339(cell)
    return cell.isoformat() if isinstance(cell, date) else cell


class _Parquet:
    """Writes row group by row group into memory that is emptied after each."""

    def __init__(self, columns: Columns) -> None:
        # Here and nowhere else: it is 50 MB to whoever never asks for such a file.
        import pyarrow
        import pyarrow.parquet

        kinds = {
            Kind.TEXT: pyarrow.string(), Kind.INTEGER: pyarrow.int64(), Kind.NUMBER: pyarrow.float64(),
            Kind.MONEY: pyarrow.decimal128(*MONEY), Kind.DAY: pyarrow.date32(),
            Kind.INSTANT: pyarrow.timestamp("us", tz="UTC"),
        }  # fmt: skip
        self._arrow: Any = pyarrow
        self._schema = pyarrow.schema([(each.name, kinds[each.kind]) for each in columns])
        self._numbers = [each.kind is Kind.NUMBER for each in columns]
        self._sink = _Sink()
        self._writer = pyarrow.parquet.ParquetWriter(self._sink, self._schema, compression="snappy")

    def add(self, batch: Batch) -> bytes:
        if batch:
            self._writer.write_table(self._arrow.table(list(self._arrays(batch)), schema=self._schema))
        return self._sink.taken()

    def _arrays(self, batch: Batch) -> Iterator[Any]:
        for field, cells, is_number in zip(self._schema, zip(*batch, strict=True), self._numbers, strict=True):
            values = [None if each is None else float(each) for each in cells] if is_number else cells
            yield self._arrow.array(values, type=field.type)

    def end(self) -> bytes:
        self._writer.close()
        return self._sink.taken()


class _Sink:
    """A file that remembers how long it is, and not what was in it."""

    closed = False

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._length = 0

    def write(self, data: Any) -> int:
        self._waiting.append(bytes(data))
        self._length += len(data)
        return len(data)

    def tell(self) -> int:
        return self._length

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def flush(self) -> None:
        """Nothing waits anywhere else."""

    def close(self) -> None:
        self.closed = True

    def taken(self) -> bytes:
        found, self._waiting = b"".join(self._waiting), []
        return found
