"""Decides how a demo workspace comes about: as acts of its team, through each part's own API, with the clock at the
hour of each."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx

# Some office of the team, in whose zone the demo's workspace counts its days.
ZONE = ZoneInfo("Europe/Berlin")


MOST_UNDER_WAY = 3
# Of each task its own: what an act began goes on at that act's hour.
_now: ContextVar[datetime] = ContextVar("now")


class ActFailedError(Exception):
    """What a part answered to an act that should have gone through."""


@dataclass
class Stage:
    """Where acts take place. `roles` maps a role's name to its authorization header; `count` counts what was posted;
    `ids` keeps what later acts refer to, by names that the acts choose."""

    http: httpx.AsyncClient
    urls: Mapping[str, str]
    roles: Mapping[str, Mapping[str, str]]
    count: Callable[[], Awaitable[None]]
    ids: dict[str, str] = field(default_factory=dict)
    _under_way: "set[asyncio.Task[Any]]" = field(default_factory=set)

    @property
    def now(self) -> datetime:
        """The hour of the act that asks, even when a later one has begun."""
        return _now.get()

    @now.setter
    def now(self, hour: datetime) -> None:
        _now.set(hour)

    async def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        """Starts what needn't be over before the next act begins, unless too much is under way already."""
        await self.catch_up(MOST_UNDER_WAY)
        self._under_way.add(asyncio.create_task(work))

    async def be_done(self) -> None:
        """Waits until all that was begun is over, and counted. By itself it is counted a second later, by this
        machine's clock: numbers would depend on its pace."""
        await self.catch_up(0)
        await self.count()

    async def catch_up(self, most: int) -> None:
        """Waits until no more than so many things are under way. Raises what one of them raised."""
        while len(self._under_way) > most:
            done, self._under_way = await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    async def ask(self, role: str, method: str, part: str, path: str, **request: Any) -> Any:
        """What a part answers to this role: decoded JSON. ActFailedError unless it is a success."""
        headers = {**self.roles[role], **request.pop("headers", {})}
        return await self._answer(method, f"{self.urls[part]}{path}", headers=headers, **request)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Any:
        """What an address answers to somebody without a token."""
        return await self._answer("POST", url, content=body, headers=headers)

    async def _answer(self, method: str, url: str, **request: Any) -> Any:
        answer = await self.http.request(method, url, **request)
        if answer.status_code // 100 != 2:
            raise ActFailedError(f"{method} {url} at {self.now}: {answer.status_code} {answer.text[:500]}")
        return answer.json()


@dataclass(frozen=True)
class Act:
    """Something that somebody did at some time."""

    at: datetime
    do: Callable[[Stage], Awaitable[Any]]


def hour(day: date, hours: float = 9) -> datetime:
    """So many hours after the day's local midnight by the clock on the wall."""
    return (datetime.combine(day, time(), ZONE) + timedelta(hours=hours)).astimezone(UTC)


def month(first: date, after: int) -> date:
    """The first day of the month so many months after the one that `first` is in."""
    count = first.year * 12 + first.month - 1 + after
    return date(count // 12, count % 12 + 1, 1)
