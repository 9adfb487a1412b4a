"""Decides how many series are computed at once, and that who waits for a turn holds nothing meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI, Request

from chassis.errors import Unavailable

# Series take the database seconds where all else takes milliseconds: so few at a time leave it connections.
MOST_AT_ONCE = 2
WAIT_SECONDS = 5.0
RETRY_SECONDS = 5


@asynccontextmanager
async def computing(app: FastAPI) -> AsyncIterator[None]:
    """Opens the turns that requests for series take."""
    app.state.series_turns = asyncio.Semaphore(MOST_AT_ONCE)
    yield


@asynccontextmanager
async def turn(app: FastAPI, seconds: float | None = None) -> AsyncIterator[None]:
    """A turn; Unavailable when none is free in time."""
    turns: asyncio.Semaphore = app.state.series_turns
    try:
        async with asyncio.timeout(WAIT_SECONDS if seconds is None else seconds):
            await turns.acquire()
    except TimeoutError:
        raise Unavailable("too many series are asked for now", code="busy", retry_after=RETRY_SECONDS) from None
    try:
        yield
    finally:
        turns.release()


async def _turn(request: Request) -> AsyncIterator[None]:
    async with turn(request.app):
        yield


# Among the route's dependencies, which come before its parameters: who waits for a turn holds no connection yet, and
# gives the connection back before the turn. "function" ends it before the answer leaves, however slowly that is read.
TURN = Depends(_turn, scope="function")
