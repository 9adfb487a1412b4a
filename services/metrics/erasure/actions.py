"""Decides how somebody is erased: the address at once, and then all that may quote it."""

import logging
from datetime import datetime, timedelta
from uuid import UUID

from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database, add_row, get_row, workspace_of
from chassis.fields import new_id
from chassis.jobs import Job
from chassis.secrets import Sealer
from services.metrics.erasure.models import Erasure
from services.metrics.erasure.rules import ErasureState
from services.metrics.erasure.store import forget_recipient, sweep, sweeping_workspaces
from services.metrics.judging.store import waiting_signs
from services.metrics.rollup.holding import allow_time
from services.metrics.suppression.store import put_signs

log = logging.getLogger("mops.people")
PURPOSE = "erasure"


def _place(workspace_id: UUID, erasure_id: UUID) -> str:
    return f"{workspace_id}/{erasure_id}"


async def begin_erasure(
    session: AsyncSession, secret_key: SecretStr, address: str | None, address_hash: bytes, by: str, now: datetime
) -> Erasure:
    """Removes an address from where addresses are kept, and has the rest looked through. By the hash alone only what is
    known can be: then there is nothing to look for, and it is done."""
    needle = await _forget(session, address_hash) or address
    workspace_id, erasure_id = workspace_of(session), new_id()
    sealer = Sealer(secret_key, PURPOSE)
    erasure = Erasure(
        workspace_id=workspace_id, id=erasure_id, address_hash=address_hash,
        needle=sealer.seal(needle.encode(), _place(workspace_id, erasure_id)) if needle else None,
        state=ErasureState.SWEEPING if needle else ErasureState.DONE, requested_at=now, requested_by=by,
        done_at=None if needle else now, found={"recipient.address": 1} if needle and not address else {},
    )  # fmt: skip
    await add_row(session, erasure)
    # To whoever keeps logs outside the database: what a backup doesn't know of is erased again by this.
    log.info("erased", extra={"workspace_id": str(workspace_id), "address_hash": address_hash.hex()})
    return erasure


async def _forget(session: AsyncSession, address_hash: bytes) -> str | None:
    """Removes an address; who left and was erased in one breath isn't written to again."""
    await put_signs(session, await waiting_signs(session, address_hash))
    return await forget_recipient(session, address_hash)


async def finish_erasure(session: AsyncSession, secret_key: SecretStr, erasure_id: UUID, now: datetime) -> None:
    """Takes an address out of all that may quote it."""
    await allow_time(session)
    erasure = await get_row(session, Erasure, erasure_id, lock=True)
    if erasure.state is ErasureState.DONE or erasure.needle is None:
        return
    sealed = Sealer(secret_key, PURPOSE).open(erasure.needle, _place(erasure.workspace_id, erasure.id))
    # Who wrote to it meanwhile has made it known again.
    again = await _forget(session, erasure.address_hash)
    found = await sweep(session, sealed.decode(), erasure.address_hash)
    erasure.found = {**erasure.found, **found, **({"recipient.address": 1} if again else {})}
    erasure.state, erasure.done_at, erasure.needle = ErasureState.DONE, now, None
    await session.flush()


async def erase_people(app: FastAPI) -> None:
    """Finishes what is begun, in every workspace. One that fails waits."""
    database: Database = app.state.database
    async with database.worker() as session:
        waiting = await sweeping_workspaces(session)
    for workspace_id, erasure_id in waiting:
        try:
            async with database.tenant(workspace_id) as session:
                await finish_erasure(session, app.state.settings.secret_key, erasure_id, app.state.clock())
        except Exception:  # the others are erased all the same
            log.exception("erasure_unfinished", extra={"workspace_id": str(workspace_id)})


ERASE_PEOPLE = Job("erase_people", timedelta(seconds=10), erase_people)
