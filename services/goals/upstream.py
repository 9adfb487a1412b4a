"""Decides what goals asks of metrics and budget: three reads, in a constant number of calls, never waited for long."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI

from chassis.errors import Unavailable
from chassis.identity import ServiceAccount
from chassis.paging import MOST
from chassis.settings import Settings

log = logging.getLogger("mops.upstream")

TIMEOUT_SECONDS = 2.0
PROBE_SECONDS = 2.0
PROBE_TIMEOUT_SECONDS = 0.6


@dataclass(frozen=True)
class Definition:
    """What a metric is."""

    key: str
    version: int
    unit: str
    adds_up: bool


@dataclass(frozen=True)
class Question:
    """A metric's total over days and campaigns (none: the workspace)."""

    metric: str
    start: date
    end: date
    campaign_ids: tuple[UUID, ...]


@dataclass(frozen=True)
class Total:
    """The answer: None where nothing was measured; known up to `watermark`."""

    value: float | None
    watermark: datetime | None
    timezone: str


class Upstream:
    """The reads. Each raises Unavailable when the service asked doesn't answer in time or answers nonsense."""

    def __init__(self, settings: Settings, http: httpx.AsyncClient, account: ServiceAccount) -> None:
        self._settings = settings
        self._http = http
        self._account = account
        self.metrics_answers = True

    async def definitions(self, workspace_id: UUID, keys: Sequence[str]) -> dict[str, Definition]:
        """The metrics that exist, by key."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, Definition] = {}
        for chunk in _chunks(wanted):
            answer = await self._ask(
                workspace_id, "metrics", "GET", "/v1/metrics", params={"key": chunk, "limit": MOST}
            )
            for item in answer["items"]:
                found[item["key"]] = Definition(item["key"], item["version"], item["unit"], item["additive"])
        return found

    async def totals(self, workspace_id: UUID, questions: Sequence[Question]) -> list[Total]:
        """An answer per question, in their order."""
        totals: list[Total] = []
        for chunk in _chunks(questions):
            queries = [
                {
                    "metric": question.metric, "from": question.start.isoformat(), "to": question.end.isoformat(),
                    "grain": "total", "campaign_ids": [str(each) for each in question.campaign_ids],
                }
                for question in chunk
            ]  # fmt: skip
            answer = await self._ask(workspace_id, "metrics", "POST", "/v1/series/query", json={"queries": queries})
            totals += [_total(series) for series in answer["series"]]
        return totals

    async def available(self, workspace_id: UUID, campaign_ids: Sequence[UUID]) -> dict[UUID, Decimal]:
        """What each campaign may still spend, in the workspace's currency; absent where it can't be said."""
        found: dict[UUID, Decimal] = {}
        for chunk in _chunks(list(dict.fromkeys(campaign_ids))):
            params = {"campaign_id": [str(each) for each in chunk]}
            answer = await self._ask(workspace_id, "budget", "GET", "/v1/positions", params=params)
            for item in answer["items"]:
                if item["position"]:
                    found[UUID(item["campaign_id"])] = Decimal(item["position"]["available"]["amount"])
        return found

    async def _ask(self, workspace_id: UUID, part: str, method: str, path: str, **request: Any) -> Any:
        try:
            headers = await self._account.headers(workspace_id)
            url = f"{self._settings.url(part)}{path}"
            answer = await self._http.request(method, url, headers=headers, timeout=TIMEOUT_SECONDS, **request)
            return answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as problem:
            if isinstance(problem, httpx.HTTPStatusError) and problem.response.is_client_error:
                # Not its trouble but ours: it understood the question, and refuses it.
                log.error("upstream_refused", extra={"part": part, "path": path, "said": problem.response.text[:500]})
            raise Unavailable(f"{part} doesn't answer now", code=f"{part}_unavailable") from problem

    async def watch(self) -> None:
        """Keeps `metrics_answers` true to the last seconds, so that a reader needn't wait to learn that it is away."""
        while True:
            try:
                url = f"{self._settings.url('metrics')}/livez"
                (await self._http.get(url, timeout=PROBE_TIMEOUT_SECONDS)).raise_for_status()
                self.metrics_answers = True
            except httpx.HTTPError:
                self.metrics_answers = False
            await asyncio.sleep(PROBE_SECONDS)


def _total(series: dict[str, Any]) -> Total:
    if series.get("problem"):
        return Total(None, None, "UTC")
    watermark = series["watermark"]
    return Total(
        series["points"][0]["value"], datetime.fromisoformat(watermark) if watermark else None, series["timezone"]
    )


def _chunks(items: Sequence[Any]) -> list[Any]:
    return [items[start : start + MOST] for start in range(0, len(items), MOST)]


@asynccontextmanager
async def asking(app: FastAPI) -> AsyncIterator[None]:
    """Opens `app.state.upstream`."""
    state = app.state
    state.upstream = Upstream(state.settings, state.http, state.account)
    if not getattr(state, "background", True):
        yield
        return
    watching = asyncio.create_task(state.upstream.watch())
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
