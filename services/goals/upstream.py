"""Decides what goals asks of metrics and budget: a few reads for many goals at once, never waited for long."""

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
from opentelemetry.trace import SpanKind

from chassis.errors import Unavailable
from chassis.identity import ServiceAccount
from chassis.measures import Measures
from chassis.paging import MOST
from chassis.settings import Settings
from chassis.telemetry import Tracing

log = logging.getLogger("mops.upstream")

TIMEOUT_SECONDS = 2.0
# A metric's whole past takes longer than what happened lately, and is asked for seldom.
HISTORY_SECONDS = 8.0
# What metrics answers at most in one call.
MOST_POINTS = 50_000
# Keys that one URL holds, however long they are.
MOST_KEYS = 20
# Of campaigns that the questions of one call name together: half of what a body may have, at 39 bytes each.
MOST_NAMED = 12_000
PROBE_SECONDS = 2.0
PROBE_TIMEOUT_SECONDS = 0.6


@dataclass(frozen=True)
class Definition:
    """What a metric is."""

    key: str
    version: int
    unit: str
    adds_up: bool
    less_is_better: bool


@dataclass(frozen=True)
class Question:
    """A metric over days and campaigns (none: the workspace), as one total or by `day` or `month`."""

    metric: str
    start: date
    end: date
    campaign_ids: tuple[UUID, ...]
    grain: str = "total"

    @property
    def points(self) -> int:
        """How many it is answered with, at most."""
        days = (self.end - self.start).days
        return {"day": days, "month": days // 28 + 2}.get(self.grain, 1)


@dataclass(frozen=True)
class Point:
    """A period from its first day on: None where nothing was measured. `denominator`: of a rate."""

    start: date
    value: float | None
    denominator: float | None
    completeness: float


@dataclass(frozen=True)
class Series:
    """The answer to a question, known up to `watermark`; without points where it couldn't be answered."""

    points: tuple[Point, ...]
    watermark: datetime | None

    @property
    def value(self) -> float | None:
        """The total's."""
        return self.points[0].value if self.points else None


@dataclass(frozen=True)
class Money:
    """What a campaign was given, and may still spend, in the workspace's currency."""

    allotted: Decimal
    available: Decimal


class Upstream:
    """The reads. Each raises Unavailable when the service asked doesn't answer in time or answers nonsense."""

    def __init__(
        self, settings: Settings, http: httpx.AsyncClient, account: ServiceAccount, tracing: Tracing, measures: Measures
    ) -> None:
        self._settings = settings
        self._http = http
        self._account = account
        self._tracing = tracing
        self._measures = measures
        self.metrics_answers = True

    async def definitions(self, workspace_id: UUID, keys: Sequence[str]) -> dict[str, Definition]:
        """The metrics that exist, by key."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, Definition] = {}
        for chunk in _chunks(wanted, MOST_KEYS):
            answer = await self._ask(
                workspace_id, "metrics", "GET", "/v1/metrics", params={"key": chunk, "limit": MOST}
            )
            for item in answer["items"]:
                found[item["key"]] = Definition(
                    item["key"], item["version"], item["unit"], item["additive"], item["direction"] == "down"
                )
        return found

    async def series(
        self, workspace_id: UUID, questions: Sequence[Question], seconds: float = TIMEOUT_SECONDS
    ) -> dict[Question, Series]:
        """An answer per question, in as few calls as metrics answers them in."""
        answers: dict[Question, Series] = {}
        for chunk in _calls(list(dict.fromkeys(questions))):
            queries = [
                {
                    "metric": question.metric, "from": question.start.isoformat(), "to": question.end.isoformat(),
                    "grain": question.grain, "campaign_ids": [str(each) for each in question.campaign_ids],
                }
                for question in chunk
            ]  # fmt: skip
            answer = await self._ask(
                workspace_id, "metrics", "POST", "/v1/series/query", seconds=seconds, json={"queries": queries}
            )
            answers |= dict(zip(chunk, map(_series, answer["series"]), strict=True))
        return answers

    async def money(self, workspace_id: UUID, campaign_ids: Sequence[UUID]) -> dict[UUID, Money]:
        """What each campaign has; absent where it can't be said in one currency."""
        found: dict[UUID, Money] = {}
        for chunk in _chunks(list(dict.fromkeys(campaign_ids))):
            params = {"campaign_id": [str(each) for each in chunk]}
            answer = await self._ask(workspace_id, "budget", "GET", "/v1/positions", params=params)
            for item in answer["items"]:
                if position := item["position"]:
                    found[UUID(item["campaign_id"])] = Money(
                        Decimal(position["allotted"]["amount"]), Decimal(position["available"]["amount"])
                    )
        return found

    async def _ask(
        self, workspace_id: UUID, part: str, method: str, path: str, seconds: float = TIMEOUT_SECONDS, **request: Any
    ) -> Any:
        try:
            with (
                self._measures.upstream_calls.labels(part).time(),
                self._tracing.span(f"{method} {part}{path}", SpanKind.CLIENT, url__template=path, server__name=part),
            ):
                headers = await self._account.headers(workspace_id)
                url = f"{self._settings.url(part)}{path}"
                answer = await self._http.request(method, url, headers=headers, timeout=seconds, **request)
                return answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as problem:
            if isinstance(problem, httpx.HTTPStatusError) and problem.response.is_client_error:
                # Not its trouble but ours: it understood the question, and refuses it.
                # What it refused is in its own log, under the id that it answers with.
                there = problem.response.headers.get("x-request-id")
                status = problem.response.status_code
                log.error("upstream_refused", extra={"part": part, "path": path, "status": status, "request_id": there})
            self._measures.upstream_failures.labels(part, type(problem).__name__).inc()
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


def _series(series: dict[str, Any]) -> Series:
    if series.get("problem"):
        return Series((), None)
    watermark = series["watermark"]
    points = tuple(
        Point(date.fromisoformat(each["start"]), each["value"], each["denominator"], each["completeness"])
        for each in series["points"]
    )
    return Series(points, datetime.fromisoformat(watermark) if watermark else None)


def _calls(questions: Sequence[Question]) -> list[list[Question]]:
    """The questions in groups that one call each can hold."""
    calls: list[list[Question]] = []
    points = named = 0
    for question in questions:
        points, named = points + question.points, named + len(question.campaign_ids)
        if not calls or len(calls[-1]) == MOST or points > MOST_POINTS or named > MOST_NAMED:
            calls.append([])
            points, named = question.points, len(question.campaign_ids)
        calls[-1].append(question)
    return calls


def _chunks(items: Sequence[Any], most: int = MOST) -> list[Any]:
    return [items[start : start + most] for start in range(0, len(items), most)]


@asynccontextmanager
async def asking(app: FastAPI) -> AsyncIterator[None]:
    """Opens `app.state.upstream`."""
    state = app.state
    state.upstream = Upstream(state.settings, state.http, state.account, state.tracing, state.measures)
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
