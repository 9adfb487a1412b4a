"""What the largest posts and lists promise: all of it is kept, and nobody else waits for it."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from chassis.reading import Prepared, Reader
from chassis.testing import Clock, TestStack
from services.metrics.event.flush import MOST_QUEUED_BYTES
from services.metrics.event.rules import MOST_ITEMS
from services.metrics.source.platforms.decoding import MOST_SINGLE
from services.metrics.source.platforms.platform import Delivery
from services.metrics.source.platforms.sendgrid import Sendgrid
from services.metrics.source.platforms.standard import Standard
from services.metrics.source.rules import Labels
from services.metrics.webhook.api import read_post
from services.metrics.webhook.rules import LARGE
from tests.metrics.conftest import Campaigns, Open, Read, Sender
from tests.metrics.test_event import JUNE, sent
from tests.parts import Workspace


async def quarantined(metrics: httpx.AsyncClient) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await metrics.get("/v1/quarantine", params={"limit": 200})).json()["items"]
    return items


async def test_a_post_to_more_people_than_a_statement_has_parameters_is_stored(sendgrid: Sender, points: Read) -> None:
    people = [sent(email=f"p{n}@example.com") for n in range(33_000)]
    for _ in range(2):  # the second finds them all known
        await sendgrid.tell(*people)
    (point,) = await points("email.unique_recipient_impressions")
    assert point["value"] == 33_000


async def test_a_post_with_more_tags_than_a_statement_has_parameters_is_stored(
    sendgrid: Sender, points: Read, campaign: Campaigns
) -> None:
    last = await campaign("t-33999")
    await sendgrid.tell(
        *(sent(timestamp=JUNE + n, category=[f"t-{100 * n + k}" for k in range(100)]) for n in range(340))
    )
    assert [point["value"] for point in await points("email.opens")] == [340]
    assert [point["value"] for point in await points("email.opens", campaign_id=last)] == [1]


@pytest.mark.parametrize("shape", [b"[%s]", b'{"events": [%s]}'])
async def test_a_post_of_too_many_events_is_kept_whole_and_says_so(
    metrics: httpx.AsyncClient, sendgrid: Sender, standard: Sender, shape: bytes
) -> None:
    body = shape % b",".join([b"1"] * (MOST_ITEMS + 1))
    answer = await (sendgrid if shape.startswith(b"[") else standard).post_bytes(body)
    assert (answer.status_code, answer.json()) == (200, {"received": 0, "quarantined": 1})
    (kept,) = await quarantined(metrics)
    assert kept["reason"] == f"more than {MOST_ITEMS} events in one post: send them in several"


def test_any_plausible_body_within_the_limit_is_read(stack: TestStack, clock: Clock) -> None:
    item = {"type": "opened", "occurred_at": "2026-06-01T12:00:00Z", "recipient": "ann@example.com", "tags": ["a"]}
    events = [json.dumps(item)] * (stack.settings("metrics").webhook_limit // len(json.dumps(item)) - 1)
    assert len(events) > 100_000
    delivery = Delivery("POST", "", {}, f"[{','.join(events)}]".encode(), clock.now)
    assert Standard().read(delivery, Labels()).quarantined == 0


async def test_of_many_parts_that_can_not_be_read_the_first_are_kept_alone_and_the_rest_together(
    metrics: httpx.AsyncClient, sendgrid: Sender
) -> None:
    for _ in range(2):  # sent again, it is kept once
        answer = await sendgrid.post([*range(MOST_SINGLE + 7), sent()])
        assert answer.json() == {"received": 1, "quarantined": MOST_SINGLE + 7}
    kept = {each["excerpt"]: each["reason"] for each in await quarantined(metrics)}
    (rest,) = kept.keys() - set(map(str, range(MOST_SINGLE)))
    assert rest.split("\n") == [str(n) for n in range(MOST_SINGLE, MOST_SINGLE + 7)]
    assert kept[rest].startswith("7 more of this post; of the first: Expected `object`")
    assert len(kept) == MOST_SINGLE + 1


async def test_others_are_answered_while_a_large_post_is_read(
    metrics_app: FastAPI, sendgrid: Sender, clock: Clock
) -> None:
    body = json.dumps([sent(timestamp=JUNE + n) for n in range(20_000)]).encode()
    assert len(body) > LARGE
    source = await metrics_app.state.sources.find(sendgrid.path.rpartition("/")[2], clock.now)
    reading = asyncio.create_task(read_post(source, Delivery("POST", "", sendgrid.sign(body), body, clock.now)))
    turns = 0
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
    assert len((await reading).events) == 20_000
    assert turns > 3  # in the loop itself there is but one


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    for place in range(0, len(body), 50):
        yield body[place : place + 50]


async def test_bodies_on_their_way_in_take_the_room_of_those_that_wait(sendgrid: Sender, metrics_app: FastAPI) -> None:
    body = json.dumps([sent()]).encode()
    go = asyncio.Event()
    asked = asyncio.Semaphore(0)

    async def slowly() -> AsyncIterator[bytes]:  # of no declared length, so it takes room as it comes
        asked.release()
        await go.wait()
        yield body

    def post(content: Any) -> asyncio.Task[httpx.Response]:
        return asyncio.create_task(sendgrid.http.post(sendgrid.path, content=content, headers=sendgrid.sign(body)))

    posts = [post(slowly()) for _ in range(8)]
    for _ in posts:
        await asked.acquire()
    assert (await post(body)).status_code == 200
    full = MOST_QUEUED_BYTES - len(body) + 1
    with metrics_app.state.flusher.expecting(full):
        for content in (body, pieces(body)):
            refused = await post(content)
            assert (refused.status_code, refused.json()["code"]) == (503, "queue_full")
            assert refused.headers["retry-after"] == "1"
    go.set()
    assert {(await each).status_code for each in posts} == {200}
    # All of the room is free again.
    with metrics_app.state.flusher.expecting(full - 1):
        assert {(await post(content)).status_code for content in (body, pieces(body))} == {200}


async def test_a_post_that_can_not_be_stored_is_answered_as_its_platform_tries_again(
    monkeypatch: pytest.MonkeyPatch, sendgrid: Sender, metrics_app: FastAPI
) -> None:
    monkeypatch.setattr(Sendgrid, "retry_status", 500)
    with metrics_app.state.flusher.expecting(64_000_000):
        answer = await sendgrid.post([sent()])
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (500, "queue_full", "1")


async def rows_read(app: FastAPI, metrics: httpx.AsyncClient, workspace: Workspace, asked: dict[str, Any]) -> int:
    """How many rows of events the database touches to answer a list, by its own account."""
    found: list[tuple[str, list[Any]]] = []
    fetch = Reader._fetch

    async def noting(reader: Reader, prepared: Prepared, parameters: Mapping[str, Any]) -> list[Any]:
        if "metrics.occurrence" in prepared.sql:
            found.append((prepared.sql, prepared.arguments(parameters)))
        return await fetch(reader, prepared, parameters)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Reader, "_fetch", noting)
        assert (await metrics.get("/v1/events", params=asked)).status_code == 200
    ((statement, parameters),) = found

    def touched(plan: dict[str, Any]) -> int:
        own = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) if plan.get("Alias") else 0
        return int(own * plan["Actual Loops"]) + sum(map(touched, plan.get("Plans", [])))

    async with app.state.database.reading(workspace.id) as reader:
        plan = await reader._connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *parameters)
    return touched((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])


async def test_a_list_reads_no_more_events_than_it_answers(
    metrics: httpx.AsyncClient, metrics_app: FastAPI, workspace: Workspace, campaign: Campaigns, open_sendgrid: Open,
    stack: TestStack,
) -> None:  # fmt: skip
    campaigns = [await campaign("early"), await campaign("late")]
    sources = [await open_sendgrid(), await open_sendgrid()]
    for slug, source in zip(("early", "late"), sources, strict=True):
        await source.tell(*(sent(timestamp=JUNE + n, category=slug) for n in range(3000)))
    admin = create_async_engine(stack.admin_dsn.replace("postgresql://", "postgresql+asyncpg://"))
    async with admin.begin() as connection:
        await connection.execute(text("ANALYZE metrics.occurrence"))
    await admin.dispose()
    source_ids = [str(source.source_id) for source in sources]
    for named in ({"campaign_id": campaigns[1]}, {"source_id": source_ids[1]}):
        for sort in ("id", "-id"):
            assert await rows_read(metrics_app, metrics, workspace, {**named, "sort": sort, "limit": 20}) <= 21
    for several in ({"campaign_id": campaigns}, {"source_id": source_ids}):
        assert await rows_read(metrics_app, metrics, workspace, {**several, "limit_per": 10}) <= 2 * 11 * 2
