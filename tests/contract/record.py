"""Writes down what this version does to its database, for the next one to be held to: `make release-contracts`. It is a
test only so that it stands on what tests stand on; it isn't among those that run by themselves."""

import re
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
from fastapi import FastAPI
from sqlalchemy import event
from sqlalchemy.engine import Engine

from chassis.fields import new_id
from chassis.stack import parts
from chassis.testing import START, TestStack
from deploy.postgres import dsn
from tests.contract.conftest import filled_workspace
from tests.contract.operations import operations
from tests.contract.previous import FOLDER, of_workspace
from tests.parts import METADATA

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]


async def test_this_version_is_written_down(stack: TestStack, apps: dict[str, FastAPI]) -> None:
    FOLDER.mkdir(exist_ok=True)
    stack.clock.now = START
    async with AsyncExitStack() as opened:
        with _overheard() as heard:
            workspace = await filled_workspace(stack, apps, opened)
            for operation in operations():
                if operation.method == "GET":
                    await workspace.send(operation.ask(workspace))
        for part in parts():
            await _write(stack, part, workspace.id, heard)


@contextmanager
def _overheard() -> Iterator[dict[str, Any]]:
    """Every statement that the parts issue, with values of one call of it."""
    heard: dict[str, Any] = {}

    def hear(_c: Any, _u: Any, statement: str, parameters: Any, _x: Any, executemany: bool) -> None:
        if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", statement):
            heard[statement] = parameters[0] if executemany else parameters

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        yield heard
    finally:
        event.remove(Engine, "before_cursor_execute", hear)


async def _write(stack: TestStack, part: str, workspace_id: UUID, heard: dict[str, Any]) -> None:
    connection = await asyncpg.connect(stack.admin_dsn)
    try:
        heads = await connection.fetch(f"SELECT version_num FROM {part}.alembic_version ORDER BY 1")
        rows = [row for table in METADATA[part].sorted_tables for row in await _rows(connection, table, workspace_id)]
    finally:
        await connection.close()
    statements = [_filled_in(statement, values) for statement, values in heard.items()]
    known = [each.replace(str(workspace_id), str(UUID(int=0))) for each in (*rows, *statements)]
    kept = await _playable(stack, part, known)
    head = "-- " + " ".join(each[0] for each in heads)
    (FOLDER / f"{part}.sql").write_text("\n".join([head, *kept]) + "\n")


async def _rows(connection: "Connection", table: Any, workspace_id: UUID) -> list[str]:
    if "workspace_id" not in table.columns:
        return []
    columns = [column.name for column in table.columns if column.identity is None and column.computed is None]
    texts = ", ".join(f'quote_nullable("{column}"::text)' for column in columns)
    found = await connection.fetch(
        f"SELECT concat_ws(', ', {texts}) FROM {table.schema}.{table.name} WHERE workspace_id = $1 ORDER BY 1",
        workspace_id,
    )
    names = ", ".join(f'"{column}"' for column in columns)
    return [f"INSERT INTO {table.name} ({names}) VALUES ({' '.join(each[0].split())})" for each in found]


def _filled_in(statement: str, values: Any) -> str:
    text = re.sub(r"\$(\d+)", lambda found: _literal(values[int(found[1]) - 1]), " ".join(statement.split()))
    return text.replace("\n", " ")


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list | tuple):
        return "ARRAY[" + ", ".join(map(_literal, value)) + "]" if value else "'{}'"
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'"
    if isinstance(value, datetime | date):
        return f"'{value.isoformat()}'"
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


async def _playable(stack: TestStack, part: str, statements: list[str]) -> list[str]:
    """Those that stand on their own: not what needs a temporary table, another role, or a row that is there already."""
    login = dsn.with_login(stack.admin_dsn, f"{stack.name}_{part}", stack.passwords[part])
    connection, workspace_id = await asyncpg.connect(login), new_id()
    kept: list[str] = []
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("SELECT set_config('mops.workspace', $1, true)", str(workspace_id))
        for statement in statements:
            point = connection.transaction()
            await point.start()
            try:
                await connection.execute(of_workspace(statement, workspace_id))
                await point.commit()
                kept.append(statement)
            except asyncpg.PostgresError:
                await point.rollback()
    finally:
        await transaction.rollback()
        await connection.close()
    return list(dict.fromkeys(kept))
