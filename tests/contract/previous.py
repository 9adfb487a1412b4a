"""Decides how the version before this one is seen at work: the rows that it keeps and the statements that it issues, as
plain SQL that was recorded when it was released, played again in workspaces of their own."""

import re
from pathlib import Path
from uuid import UUID, uuid5

import asyncpg

from chassis.testing import TestStack
from deploy.postgres import dsn

FOLDER = Path(__file__).parent / "previous"
ANY_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
# Somebody else needed the table for a moment: the service says 503, its caller comes again.
PASSING = (asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError)


def revisions(part: str) -> list[str]:
    """The newest migrations of the version that was recorded."""
    return _lines(part)[0].removeprefix("-- ").split()


def _lines(part: str) -> list[str]:
    return (FOLDER / f"{part}.sql").read_text().splitlines()


class Player:
    """The old version of one part, at work under its own role."""

    def __init__(self, admin_dsn: str, stack: TestStack, part: str) -> None:
        self.part = part
        self.statements = [line for line in _lines(part) if not line.startswith("--")]
        self._login = dsn.with_login(admin_dsn, f"{stack.name}_{part}", stack.passwords[part])

    async def play(self, workspace_id: UUID, *, patience: int = 5) -> None:
        """All of it, once, for a workspace that isn't there yet. Raises what Postgres refuses."""
        connection = await asyncpg.connect(self._login, server_settings={"lock_timeout": "10s"})
        try:
            for attempt in range(patience):
                try:
                    async with connection.transaction():
                        await connection.execute("SELECT set_config('mops.workspace', $1, true)", str(workspace_id))
                        for statement in self.statements:
                            await connection.execute(of_workspace(statement, workspace_id))
                    return
                except PASSING:
                    if attempt == patience - 1:
                        raise
        finally:
            await connection.close()


def of_workspace(statement: str, workspace_id: UUID) -> str:
    """The statement with ids of that workspace's own instead of the recorded ones; the recorded workspace is nil."""
    nil = str(UUID(int=0))

    def other(found: re.Match[str]) -> str:
        return str(workspace_id) if found[0] == nil else str(uuid5(workspace_id, found[0]))

    return ANY_ID.sub(other, statement)
