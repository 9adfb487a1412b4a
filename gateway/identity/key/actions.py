"""Decides how signing keys follow each other without a break: published ahead, kept until all their tokens ended."""

import logging
from datetime import datetime, timedelta

from fastapi import FastAPI
from joserfc.jwk import OKPKey
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database
from chassis.jobs import Job
from chassis.secrets import Sealer
from chassis.settings import Settings
from gateway.identity.key import store
from gateway.identity.key.rules import PUBLISHED_AHEAD, ends_at, is_due, signing, upcoming

log = logging.getLogger("mops.keys")


def sealer_of(settings: Settings) -> Sealer:
    return Sealer(settings.secret_key, store.PURPOSE)


async def known_keys(session: AsyncSession, settings: Settings, now: datetime) -> list[store.StoredKey]:
    """All keys; the first is made when somebody first asks."""
    keys = await store.load_keys(session)
    if not keys:
        await store.hold(session)
        keys = await store.load_keys(session)
    if not keys:
        key = store.given_key(settings.signing_keys.get_secret_value()) or store.new_key()
        keys = [await store.add_key(session, key, sealer_of(settings), now, now)]
    return keys


async def signing_key(session: AsyncSession, settings: Settings, now: datetime) -> OKPKey:
    """The private key that signs now."""
    keys = await known_keys(session, settings, now)
    turn = signing([key.turn for key in keys], now)
    return store.opened(next(key for key in keys if key.turn == turn), sealer_of(settings))


async def rotate(session: AsyncSession, settings: Settings, now: datetime) -> None:
    """Publishes the next key, unless one waits already; it signs when every service has had time to learn of it."""
    await store.hold(session)
    keys = await known_keys(session, settings, now)
    if not upcoming([key.turn for key in keys], now):
        key = await store.add_key(session, store.new_key(), sealer_of(settings), now, now + PUBLISHED_AHEAD)
        log.info("signing_key_published", extra={"kid": key.kid, "signs_from": key.signs_from.isoformat()})


async def withdraw(session: AsyncSession, settings: Settings, kid: str, now: datetime) -> bool:
    """Forgets a key at once, with all tokens that it signed; says whether there was one. Another signs from now on."""
    await store.hold(session)
    keys = await store.load_keys(session)
    if kid not in {key.kid for key in keys}:
        return False
    if len(keys) == 1:
        await store.add_key(session, store.new_key(), sealer_of(settings), now, now)
    await store.forget_keys(session, [kid])
    log.warning("signing_key_withdrawn", extra={"kid": kid})
    return True


async def tend(app: FastAPI) -> None:
    """Publishes the next key when the time has come, and forgets those whose tokens have all ended."""
    database: Database = app.state.database
    now: datetime = app.state.clock()
    async with database.worker() as session:
        await store.hold(session)
        turns = [key.turn for key in await known_keys(session, app.state.settings, now)]
        ended = [turn.kid for turn in turns if (end := ends_at(turn, turns, now)) and end <= now]
        await store.forget_keys(session, ended)
        if is_due(turns, now):
            await rotate(session, app.state.settings, now)


TEND = Job("signing_keys", timedelta(minutes=10), tend)
