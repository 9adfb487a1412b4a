"""What becomes of what platforms post."""

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from chassis.fields import new_id
from chassis.testing import Clock, TestStack
from services.metrics.rollup.holding import seize_numbers
from tests.metrics.conftest import Campaigns, Open, Read, Sender
from tests.parts import Connect, Workspace

JUNE = 1780315200  # 2026-06-01T12:00:00Z


def sent(event: str = "open", **fields: Any) -> dict[str, Any]:
    """What SendGrid tells of one message."""
    return {"event": event, "email": "ann@example.com", "timestamp": JUNE, "sg_message_id": "m1", **fields}


async def listed(metrics: httpx.AsyncClient, **asked: Any) -> list[dict[str, Any]]:
    answer = await metrics.get("/v1/events", params=asked)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_an_event_is_told_in_one_language(
    metrics: httpx.AsyncClient, sendgrid: Sender, campaign: Campaigns, clock: Clock
) -> None:
    spring = await campaign("spring")
    await sendgrid.tell(
        sent(
            "click", email="  Ann@Example.COM ", timestamp=JUNE + 0.5, url="https://example.com/a", category=" Spring "
        ),
    )
    (event,) = await listed(metrics, source_id=str(sendgrid.source_id))
    assert event.pop("id")
    assert event == {
        "source_id": str(sendgrid.source_id), "type": "clicked", "recipient": "ann@example.com", "message_id": "m1",
        "url": "https://example.com/a", "occurred_at": "2026-06-01T12:00:00.500000Z",
        "received_at": clock.now.isoformat().replace("+00:00", "Z"), "campaign_id": spring, "verdict": "human",
        "reasons": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("processed", "queued"), ("delivered", "delivered"), ("deferred", "deferred"), ("dropped", "rejected"),
        ("bounce", "bounced"), ("open", "opened"), ("click", "clicked"), ("spamreport", "complained"),
        ("unsubscribe", "unsubscribed"), ("group_unsubscribe", "unsubscribed"), ("group_resubscribe", "subscribed"),
        ("something_new", "unknown"),
    ],
)  # fmt: skip
async def test_every_type_of_sendgrids_has_its_own_of_ours(
    metrics: httpx.AsyncClient, sendgrid: Sender, theirs: str, ours: str
) -> None:
    await sendgrid.tell(sent(theirs))
    assert [event["type"] for event in await listed(metrics)] == [ours]


async def test_addresses_are_shown_only_to_who_may_see_people(
    connect: Connect, workspace: Workspace, sendgrid: Sender
) -> None:
    await sendgrid.tell(sent())
    (seen,) = await listed(connect("metrics", workspace, "specialist"))
    (hidden,) = await listed(connect("metrics", workspace, "stakeholder"))
    assert seen == {**hidden, "recipient": "ann@example.com"}
    assert hidden["recipient"] is None
    assert (await connect("metrics", workspace, "stakeholder").get("/v1/quarantine")).status_code == 403


async def test_any_replay_shuffle_or_new_id_changes_no_number(
    metrics: httpx.AsyncClient, sendgrid: Sender, points: Read
) -> None:
    events = [
        sent(kind, email=f"p{person}@example.com", timestamp=JUNE + second, ip=f"10.0.0.{person}", url=url)
        for kind in ("open", "click") for person in range(4) for second in range(3)
        for url in (("https://a.example", "https://b.example") if kind == "click" else (None,))
    ]  # fmt: skip
    deliveries = [{**event, "sg_event_id": new_id().hex} for event in events for _ in range(5)]
    random.shuffle(deliveries)
    while deliveries:
        batch, deliveries = deliveries[:17], deliveries[17:]
        await sendgrid.tell(*batch)
    assert len(await listed(metrics, limit=200)) == len(events)
    (opens,), (clicks,) = await points("email.opens"), await points("email.total_clicks")
    assert (opens["value"], clicks["value"]) == (12, 24)


async def test_what_differs_in_a_stable_field_is_another_event(metrics: httpx.AsyncClient, sendgrid: Sender) -> None:
    changes: list[dict[str, Any]] = [
        {}, {"event": "click"}, {"email": "bo@example.com"}, {"timestamp": JUNE + 1}, {"sg_message_id": "m2"},
        {"url": "https://a.example"}, {"useragent": "x"}, {"ip": "10.0.0.1"},
    ]  # fmt: skip
    await sendgrid.tell(*(sent(**{"event": "open", **change}) for change in changes))
    assert len(await listed(metrics)) == len(changes)


async def test_one_event_at_two_sources_is_two(metrics: httpx.AsyncClient, open_sendgrid: Open) -> None:
    for sender in (await open_sendgrid(), await open_sendgrid()):
        await sender.tell(sent())
    assert len(await listed(metrics)) == 2


async def test_a_standard_source_takes_one_several_or_an_array(metrics: httpx.AsyncClient, standard: Sender) -> None:
    event = {"type": "opened", "recipient": "ann@example.com", "message_id": "m", "occurred_at": "2026-06-01T12:00:00Z"}
    again = {**event, "id": "another", "unknown": {"field": 1}, "occurred_at": "2026-06-01T14:00:00+02:00"}
    for payload in (event, {"events": [event, again]}, [again]):
        answer = await standard.post(payload)
        assert answer.status_code == 200, answer.text
        assert answer.json()["quarantined"] == 0
    assert len(await listed(metrics)) == 1


async def test_machines_are_judged_and_not_deleted(
    metrics: httpx.AsyncClient, sendgrid: Sender, standard: Sender, points: Read
) -> None:
    await sendgrid.tell(sent(), sent(timestamp=JUNE + 1, sg_machine_open=True), sent("delivered"))
    await standard.tell(
        {"type": "clicked", "occurred_at": "2026-06-01T12:00:00Z", "recipient": "bo@example.com", "machine": True},
        {"type": "opened", "occurred_at": "2026-06-01T12:00:00Z", "recipient": "bo@example.com", "machine": True},
    )
    judged = {(event["type"], event["verdict"], *event["reasons"]) for event in await listed(metrics)}
    assert judged == {
        ("opened", "human"), ("opened", "bot", "machine_open"), ("delivered", "unknown"), ("clicked", "bot", "machine"),
    }  # fmt: skip
    for key, value in {
        "email.opens": 3, "email.opens.human": 1, "email.total_clicks": 1, "email.total_clicks.human": 0,
        "email.unique_recipient_impressions": 2, "email.unique_recipient_impressions.human": 1, "email.ctr": 50,
        "email.ctr.human": 0,
    }.items():  # fmt: skip
        assert [point["value"] for point in await points(key)] == [value], key


UNREADABLE: list[tuple[Any, str]] = [
    ({"event": "open", "email": "a@example.com"}, "timestamp"),
    (sent(email=5), "email"),
    (sent(email="  "), "email"),
    (sent(timestamp=JUNE + 10**7), "occurred_at"),
    (sent(timestamp=946684799), "occurred_at"),
    (sent(timestamp=10**30), "timestamp"),
    (sent(timestamp=True), "timestamp"),
    (sent(url="https://a.example/\0"), "NUL"),
    (sent(email="a\0@example.com"), "NUL"),
    (sent(email="a" * 321), "recipient"),
    (sent(category=["x" * 301]), "tags"),
    ("text", "object"),
    (None, "object"),
]


async def test_what_can_not_be_read_waits_with_its_reason_and_costs_no_neighbour(
    metrics: httpx.AsyncClient, sendgrid: Sender
) -> None:
    mixed = [each for index, (bad, _) in enumerate(UNREADABLE) for each in (bad, sent(timestamp=JUNE + index))]
    for _ in range(2):  # sent again, it is kept once
        answer = await sendgrid.post(mixed)
        assert answer.json() == {"received": len(UNREADABLE), "quarantined": len(UNREADABLE)}
    assert len(await listed(metrics)) == len(UNREADABLE)
    kept = (await metrics.get("/v1/quarantine", params={"source_id": str(sendgrid.source_id)})).json()["items"]
    assert len(kept) == len(UNREADABLE)
    for _, reason in UNREADABLE:
        assert any(reason in each["reason"] for each in kept), reason


@pytest.mark.parametrize(
    "body", [b"", b"{", b'[{"event": "\xff"}]', b"[" * 4000, b'{"a": 1}', b'"\x00"', b"[1,]", b"null"]
)
async def test_an_authentic_body_that_is_no_json_is_kept_whole(
    metrics: httpx.AsyncClient, sendgrid: Sender, standard: Sender, body: bytes
) -> None:
    for sender in (sendgrid, standard):
        if sender is standard and b"\xff" in body:
            continue  # the reference implementation signs text alone
        answer = await sender.post_bytes(body)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"received": 0, "quarantined": 1}
        (kept,) = (await metrics.get("/v1/quarantine", params={"source_id": str(sender.source_id)})).json()["items"]
        assert kept["reason"]


async def test_many_events_at_once_are_stored_as_few_are(
    metrics: httpx.AsyncClient, sendgrid: Sender, campaign: Campaigns, points: Read
) -> None:
    spring = await campaign("spring")
    await sendgrid.tell(
        *(
            sent("click", email=f"p{n % 7}@example.com", timestamp=JUNE + n, category=["x", "spring"])
            for n in range(500)
        )
    )
    await sendgrid.tell(*(sent("click", timestamp=JUNE - n, category="spring") for n in range(1, 4)))
    (point,) = await points("email.total_clicks", campaign_id=spring)
    assert point["value"] == 503
    page = (await metrics.get("/v1/events", params={"campaign_id": spring, "type": "clicked", "limit": 200})).json()
    assert len(page["items"]) == 200
    assert page["next_cursor"]


async def test_events_are_grouped_by_campaign(
    metrics: httpx.AsyncClient, sendgrid: Sender, campaign: Campaigns
) -> None:
    ids = [await campaign("one"), await campaign("two")]
    await sendgrid.tell(*(sent(timestamp=JUNE + n, category="one") for n in range(3)), sent(category="two", ip="1"))
    asked = [*ids, str(new_id())]
    groups = (await metrics.get("/v1/events", params={"campaign_id": asked, "limit_per": 2})).json()["groups"]
    assert [group["key"] for group in groups] == asked
    assert [len(group["items"]) for group in groups] == [2, 1, 0]
    assert [bool(group["next_cursor"]) for group in groups] == [True, False, False]
    refused = (await metrics.get("/v1/events", params={"limit_per": 2})).json()
    assert [(error["field"], error["code"]) for error in refused["errors"]] == [("limit_per", "no_parent")]


async def test_events_are_grouped_by_what_is_named_first_and_narrowed_by_the_other(
    metrics: httpx.AsyncClient, open_sendgrid: Open, campaign: Campaigns
) -> None:
    spring = await campaign("spring")
    one, two = await open_sendgrid(), await open_sendgrid()
    await one.tell(sent(category="spring"), sent(timestamp=JUNE + 1))
    await two.tell(sent())
    sources = [str(one.source_id), str(two.source_id)]

    async def groups(**asked: Any) -> list[tuple[str, int]]:
        found = (await metrics.get("/v1/events", params={**asked, "limit_per": 5})).json()["groups"]
        return [(group["key"], len(group["items"])) for group in found]

    assert await groups(source_id=sources) == [(sources[0], 2), (sources[1], 1)]
    assert await groups(source_id=sources, campaign_id=spring) == [(sources[0], 1), (sources[1], 0)]
    assert await groups(campaign_id=spring, source_id=sources) == [(spring, 1)]


async def test_events_are_their_workspaces_alone(
    connect: Connect, sendgrid: Sender, open_sendgrid: Open, other_workspace: Workspace, metrics: httpx.AsyncClient
) -> None:
    await sendgrid.tell(sent())
    await sendgrid.post([1])
    stranger = connect("metrics", other_workspace)
    assert await listed(stranger) == []
    assert (await stranger.get("/v1/quarantine")).json()["items"] == []
    theirs = await open_sendgrid(other_workspace)
    await theirs.tell(sent())
    assert [each["source_id"] for each in await listed(stranger)] == [str(theirs.source_id)]
    assert [each["source_id"] for each in await listed(metrics)] == [str(sendgrid.source_id)]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  # what is waited for is no event of this loop
            await asyncio.sleep(0)


async def waiting_locks(app: FastAPI) -> int:
    async with app.state.database.worker() as session:
        return int(await session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")) or 0)


async def test_the_answer_comes_after_the_commit(
    metrics_app: FastAPI, metrics: httpx.AsyncClient, sendgrid: Sender, workspace: Workspace
) -> None:
    async with metrics_app.state.database.tenant(workspace.id) as session:
        await seize_numbers(session)
        post = asyncio.create_task(sendgrid.post([sent()]))
        async with asyncio.timeout(10):
            while not post.done() and not await waiting_locks(metrics_app):
                pass
        assert not post.done()
    assert (await post).status_code == 200
    assert len(await listed(metrics)) == 1


async def test_posts_that_queue_while_one_is_stored_are_stored_together(
    metrics_app: FastAPI, metrics: httpx.AsyncClient, sendgrid: Sender, workspace: Workspace, points: Read
) -> None:
    transactions = metrics_app.state.flusher.flushes
    async with metrics_app.state.database.tenant(workspace.id) as session:
        await seize_numbers(session)
        posts = [asyncio.create_task(sendgrid.post([sent()]))]
        await until(lambda: metrics_app.state.flusher.flushes > transactions)
        posts += [asyncio.create_task(sendgrid.post([sent(timestamp=JUNE + n)])) for n in range(1, 40)]
        await until(lambda: metrics_app.state.flusher.waiting(workspace.id) == 39)
    assert {(await post).status_code for post in posts} == {200}
    assert metrics_app.state.flusher.flushes - transactions == 2
    (point,) = await points("email.opens")
    assert point["value"] == 40


async def test_one_post_that_can_not_be_stored_costs_no_other(
    metrics_app: FastAPI, metrics: httpx.AsyncClient, sendgrid: Sender, workspace: Workspace, stack: TestStack
) -> None:
    admin = create_async_engine(stack.admin_dsn.replace("postgresql://", "postgresql+asyncpg://"))
    async with admin.begin() as connection:
        await connection.execute(text("""
            CREATE FUNCTION metrics.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'this row is refused'; END $$"""))  # fmt: skip
        await connection.execute(text("""
            CREATE TRIGGER refuse BEFORE INSERT ON metrics.occurrence FOR EACH ROW WHEN (NEW.message_id = 'poison')
            EXECUTE FUNCTION metrics.refuse()"""))  # fmt: skip
    try:
        async with metrics_app.state.database.tenant(workspace.id) as session:
            await seize_numbers(session)
            flushes = metrics_app.state.flusher.flushes
            posts = [asyncio.create_task(sendgrid.post([sent(sg_message_id="first")]))]
            await until(lambda: metrics_app.state.flusher.flushes > flushes)
            ids = ["a", "poison", "b", "c"]
            posts += [asyncio.create_task(sendgrid.post([sent(sg_message_id=each)])) for each in ids]
            await until(lambda: metrics_app.state.flusher.waiting(workspace.id) == 4)
        answers = [await post for post in posts]
    finally:
        async with admin.begin() as connection:
            await connection.execute(text("DROP FUNCTION metrics.refuse() CASCADE"))
        await admin.dispose()
    assert [answer.status_code for answer in answers] == [200, 200, 503, 200, 200]
    assert answers[2].headers["retry-after"]
    assert {event["message_id"] for event in await listed(metrics)} == {"first", "a", "b", "c"}
    await sendgrid.tell(sent(sg_message_id="poison"))
    assert len(await listed(metrics)) == 5


async def test_a_late_event_counts_in_its_own_month(sendgrid: Sender, points: Read, clock: Clock) -> None:
    await sendgrid.tell(sent("click", timestamp=int((clock.now - timedelta(days=100)).timestamp())))
    months = await points("email.total_clicks", grain="month")
    assert [point["start"] for point in months if point["value"]] == ["2026-03-01"]


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00Z"])
async def test_events_since_before_all_time_are_all_events(
    metrics: httpx.AsyncClient, sendgrid: Sender, since: str
) -> None:
    await sendgrid.tell({"event": "open", "email": "a@example.com", "timestamp": 1780315200})
    for asked, many in (({"occurred_from": since}, 1), ({"occurred_to": since}, 0)):
        answer = await metrics.get("/v1/events", params=asked)
        assert (answer.status_code, len(answer.json()["items"])) == (200, many), answer.text
    answer = await metrics.get("/v1/events", params={"occurred_to": "9999-12-31T23:59:59.999999Z"})
    assert (answer.status_code, len(answer.json().get("items", ()))) == (200, 1), answer.text
