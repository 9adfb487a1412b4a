"""What numbers promise: they equal an independent count of the same events, however these came."""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import text

from chassis.db import as_owner
from chassis.fields import new_id
from chassis.inbox import Incoming
from chassis.testing import Clock, TestStack
from services.metrics.change.actions import TELL_CHANGES
from services.metrics.judging.actions import judge_events
from services.metrics.rollup.actions import COUNT_EVENTS, rebuild_numbers
from services.metrics.rollup.folding import MOST_BY_READERS
from services.metrics.rollup.holding import REBUILD_TIMEOUT, seize_numbers
from services.metrics.rollup.rules import NO_CAMPAIGN, Cell
from services.metrics.rollup.store import rebuild
from services.metrics.series import turns
from services.metrics.series.rules import Grain, Period, completeness, periods
from tests.metrics.conftest import Campaigns, Open, Read, Sender, open_of
from tests.parts import Connect, Deliver, Workspace, open_workspace

BERLIN = ZoneInfo("Europe/Berlin")
YEAR = {"from": "2026-01-01", "to": "2027-01-01"}
# Minutes around every local midnight that starts a month, and around both changes of the clocks in 2026.
EDGES = [datetime(2026, month, 1, tzinfo=BERLIN) for month in range(1, 7)] + [
    datetime(2025, 10, 26, 1, 30, tzinfo=UTC), datetime(2026, 3, 29, 0, 59, tzinfo=UTC),
    datetime(2026, 3, 29, tzinfo=BERLIN), datetime(2026, 3, 30, tzinfo=BERLIN),
]  # fmt: skip


def random_events(rng: random.Random, many: int, slugs: list[str]) -> list[dict[str, Any]]:
    """What SendGrid might tell: few people and messages, so that they meet; many events within an hour of an edge."""
    return [
        {
            "event": rng.choice(["open", "open", "click", "delivered", "processed"]),
            "email": f"p{rng.randrange(6)}@example.com",
            "sg_message_id": f"m{rng.randrange(4)}",
            "timestamp": int(rng.choice(EDGES).timestamp()) + rng.randrange(-3700, 3700),
            "category": rng.sample([*slugs, "other"], rng.randrange(len(slugs) + 2)),
            "url": f"https://example.com/{rng.randrange(2)}",
            "sg_machine_open": rng.random() < 0.2,
        }
        for _ in range(many)
    ]


def counted(
    events: list[dict[str, Any]], slugs: list[str], month_of: ZoneInfo, slug: str | None = None, human: bool = False
) -> dict[str, tuple[int, int]]:
    """By plain sets: month -> (clicks, distinct (recipient, message) of opens), of one slug's campaign or of all."""
    clicks: dict[str, set[Any]] = defaultdict(set)
    shown: dict[str, set[Any]] = defaultdict(set)
    for each in events:
        belongs = next((tag for tag in each["category"] if tag in slugs), None)
        if (slug and belongs != slug) or (human and each["sg_machine_open"]):
            continue
        month = f"{datetime.fromtimestamp(each['timestamp'], month_of):%Y-%m}-01"
        if each["event"] == "click":
            clicks[month].add((each["email"], each["sg_message_id"], each["timestamp"], each["url"]))
        elif each["event"] == "open":
            shown[month].add((each["email"], each["sg_message_id"]))
    return {month: (len(clicks[month]), len(shown[month])) for month in {*clicks, *shown}}


async def ctr(points: Read, key: str = "email.ctr", **asked: Any) -> dict[str, tuple[int, int]]:
    found = await points(key, **{"from": "2025-01-01", "grain": "month", **asked})
    for point in found:
        clicks, shown = point["numerator"], point["denominator"]
        assert point["value"] == (100 * clicks / shown if shown else None)
    return {p["start"]: (p["numerator"], p["denominator"]) for p in found if p["numerator"] or p["denominator"]}


@pytest.mark.parametrize("seed", range(3))
async def test_numbers_equal_a_plain_count_whatever_comes_first(
    sendgrid: Sender, campaign: Campaigns, points: Read, seed: int, metrics_app: FastAPI, workspace: Workspace
) -> None:
    rng = random.Random(seed)
    slugs = ["spring", "autumn"]
    events = random_events(rng, 600, slugs)
    deliveries = [{**each, "sg_event_id": new_id().hex} for each in events for _ in range(rng.choice([1, 1, 2, 4]))]
    rng.shuffle(deliveries)
    campaigns = {}
    for place in range(0, len(deliveries), 150):
        # Known in the middle: what came before must move, from no campaign or from that of a later tag.
        if place in (300, 600):
            campaigns[slugs[place // 600]] = await campaign(slugs[place // 600])
        await sendgrid.tell(*deliveries[place : place + 150])
    assert len(campaigns) == 2
    for slug in (None, *slugs):
        of = {"campaign_id": campaigns[slug]} if slug else {}
        assert await ctr(points, **of) == counted(events, slugs, BERLIN, slug)
        assert await ctr(points, "email.ctr.human", **of) == counted(events, slugs, BERLIN, slug, human=True)
        (total,) = await points("email.total_clicks", **of, **{"from": "2025-01-01"})
        assert total["value"] == sum(clicks for clicks, _ in counted(events, slugs, BERLIN, slug).values())
    both = await points(
        "email.unique_recipient_impressions", campaign_id=list(campaigns.values()), **{"from": "2025-01-01"}
    )
    pairs = {
        (each["email"], each["sg_message_id"])
        for each in events if each["event"] == "open" and {*each["category"]} & {*slugs}
    }  # fmt: skip
    assert [point["value"] for point in both] == [len(pairs)]
    before = await roll_ups(metrics_app, workspace)
    async with metrics_app.state.database.tenant(workspace.id) as session:
        await seize_numbers(session)
        await rebuild(session)
    assert await roll_ups(metrics_app, workspace) == before


async def roll_ups(app: FastAPI, workspace: Workspace) -> set[str]:
    async with app.state.database.tenant(workspace.id) as session:
        rows = await session.execute(
            text("""SELECT counted::text FROM counted UNION ALL
                    SELECT concat(campaign_id, grain, start, source_id, type, unit, human, bot, unknown) FROM reach""")
        )
        return {row[0] for row in rows}


async def test_an_event_that_had_matched_a_later_tag_moves_to_the_earlier(
    sendgrid: Sender, campaign: Campaigns, points: Read, metrics: httpx.AsyncClient
) -> None:
    click = {"event": "click", "email": "a@example.com", "timestamp": 1780315200, "category": ["first", "second"]}
    await sendgrid.tell(click)
    assert [each["campaign_id"] for each in (await metrics.get("/v1/events")).json()["items"]] == [None]
    for slug in ("second", "first"):
        campaign_id = await campaign(slug)
        assert [each["campaign_id"] for each in (await metrics.get("/v1/events")).json()["items"]] == [campaign_id]
    grouped = await metrics.get("/v1/metrics/email.total_clicks/series", params={**YEAR, "group_by": "campaign_id"})
    assert [series["group"] for series in grouped.json()["series"]] == [{"campaign_id": campaign_id}]
    assert [point["value"] for point in await points("email.total_clicks")] == [1]


async def test_another_zone_puts_events_on_other_days(
    sendgrid: Sender, points: Read, metrics_app: FastAPI, workspace: Workspace
) -> None:
    rng = random.Random(5)
    events = random_events(rng, 300, [])
    await sendgrid.tell(*events)
    assert await ctr(points) == counted(events, [], BERLIN)
    change = Incoming(
        id=new_id(), source="/gateway", type="gateway.workspace.changed", subject=str(workspace.id),
        time=datetime.now(UTC), workspaceid=workspace.id,
        data={"name": "Test", "zone": "America/Los_Angeles", "currency": "EUR"},
    )  # fmt: skip
    async with metrics_app.state.database.tenant(workspace.id) as session:
        await metrics_app.state.consumes[change.type](session, change)
        # As much time as there are events to count anew.
        assert await session.scalar(text("SHOW statement_timeout")) == REBUILD_TIMEOUT
    assert await ctr(points) == counted(events, [], ZoneInfo("America/Los_Angeles"))


@pytest.mark.parametrize(
    "zones",
    [
        ("Pacific/Honolulu", "Pacific/Kiritimati"), ("Pacific/Kiritimati", "Pacific/Honolulu"),
        ("Asia/Tokyo", "Europe/Berlin", "Asia/Tokyo"),
    ],
)  # fmt: skip
async def test_other_zones_count_each_event_once_where_days_are_sealed(
    standard: Sender, metrics_app: FastAPI, workspace: Workspace, metrics: httpx.AsyncClient, campaign: Campaigns,
    zones: tuple[str, ...],
) -> None:  # fmt: skip
    # Events are kept since June 2023; of its first day only a part is, so that it stays as it is.
    hours = [datetime(2023, 6, 1, tzinfo=UTC) + timedelta(hours=each) for each in range(72)]
    await standard.tell(
        *(
            {"type": "opened", "recipient": "a@x.example", "occurred_at": each.isoformat(), "tags": ["late"]}
            for each in hours
        )
    )

    async def total() -> int:
        span = {"from": "2023-05-01", "to": "2023-07-01", "grain": "total"}
        answer = await metrics.get("/v1/metrics/email.opens/series", params=span)
        return int(answer.json()["series"][0]["points"][0]["value"])

    assert await total() == 72
    for zone in zones:
        change = Incoming(
            id=new_id(), source="/gateway", type="gateway.workspace.changed", subject=str(workspace.id),
            time=datetime.now(UTC), workspaceid=workspace.id, data={"name": "Test", "zone": zone, "currency": "EUR"},
        )  # fmt: skip
        async with metrics_app.state.database.tenant(workspace.id) as session:
            await metrics_app.state.consumes[change.type](session, change)
        assert await total() == 72
        async with metrics_app.state.database.tenant(workspace.id) as session:
            await rebuild_numbers(session, workspace.id)
        assert await total() == 72
    # To move all of them to a campaign counts none twice either.
    await campaign("late")
    assert await total() == 72


async def test_a_day_with_two_midnights_begins_with_the_first(
    stack: TestStack, apps: dict[str, FastAPI], connect: Connect, metrics_app: FastAPI, clock: Clock
) -> None:
    # On 2025-11-02 Havana's clocks went from 01:00 back to 00:00.
    owner = await open_workspace(stack, apps, "America/Havana")
    sender, metrics = await open_of(connect, owner, clock), connect("metrics", owner)
    at = [datetime(2025, 11, 2, hour, 30, tzinfo=UTC) for hour in (3, 4, 4, 5)]
    people = ("a", "b", "c", "d")
    await sender.tell(
        *(
            {"type": "clicked", "recipient": f"{who}@x.example", "message_id": "m", "occurred_at": each.isoformat()}
            for who, each in zip(people, at, strict=True)
        )
    )

    async def days(**asked: Any) -> list[list[int]]:
        span = {"from": "2025-11-01", "to": "2025-11-03", "grain": "day", **asked}
        answers = [
            await metrics.get(f"/v1/metrics/{key}/series", params=span)
            for key in ("email.total_clicks", "email.unique_clicks", "email.total_clicks.bot")
        ]
        return [[point["value"] for point in each.json()["series"][0]["points"]] for each in answers]

    assert await days() == await days(as_of=clock.now.isoformat()) == [[1, 3], [1, 3], [0, 0]]
    before = await roll_ups(metrics_app, owner)
    for day in (date(2025, 11, 1), date(2025, 11, 2)):
        async with metrics_app.state.database.tenant(owner.id) as session:
            await seize_numbers(session)
            await rebuild(session, [Cell(sender.source_id, None, day)])
        assert await roll_ups(metrics_app, owner) == before
    # A machine's second click takes nothing of what the same person did in the month's first hour.
    other = {"type": "clicked", "recipient": "b@x.example", "message_id": "m"}
    late = [{**other, "occurred_at": f"2025-11-09T12:00:00.{n}Z", "url": f"https://{n}.example"} for n in range(2)]
    await sender.tell(*late)
    await judge_events(metrics_app)
    month = {"from": "2025-11-01", "to": "2025-12-01", "grain": "month"}
    answer = await metrics.get("/v1/metrics/email.unique_clicks.human/series", params=month)
    assert [point["value"] for point in answer.json()["series"][0]["points"]] == [4]


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.integers(1, 1100), st.sampled_from(Grain))
def test_periods_cover_every_day_once_and_break_where_the_calendar_does(since: date, days: int, grain: Grain) -> None:
    until = since + timedelta(days=days)
    found = periods(since, until, grain)
    assert found[0].start == since
    assert found[-1].end == until
    assert all(before.end == after.start for before, after in pairwise(found))
    labels: dict[Grain, Callable[[date], object]] = {
        Grain.DAY: lambda day: day, Grain.WEEK: lambda day: day.isocalendar()[:2], Grain.YEAR: lambda day: day.year,
        Grain.MONTH: lambda day: (day.year, day.month), Grain.QUARTER: lambda day: (day.year, (day.month - 1) // 3),
        Grain.TOTAL: lambda day: None,
    }  # fmt: skip
    label = labels[grain]
    assert len(found) == len({label(since + timedelta(days=n)) for n in range(days)})
    assert all(label(period.start) == label(period.end - timedelta(days=1)) for period in found)


def test_completeness_is_the_share_of_a_local_day_that_has_passed() -> None:
    short = Period(date(2026, 3, 29), date(2026, 3, 30))  # 23 hours in Berlin
    noon = datetime(2026, 3, 29, 12, tzinfo=BERLIN)
    assert completeness(short, "Europe/Berlin", noon) == 11 / 23
    assert completeness(short, "Europe/Berlin", noon - timedelta(days=9)) == 0
    assert completeness(short, "Europe/Berlin", noon + timedelta(days=9)) == 1
    assert completeness(short, "Europe/Berlin", None) == 0
    # Samoa moved over the date line: it had no such day.
    none = Period(date(2011, 12, 30), date(2011, 12, 31))
    moved = datetime(2011, 12, 30, 10, tzinfo=UTC)
    found = [completeness(none, "Pacific/Apia", moved + timedelta(seconds=each)) for each in (-1, 0, 1)]
    assert found == [0, 1, 1]


async def test_a_series_has_every_period_and_says_what_it_rests_on(
    metrics: httpx.AsyncClient, sendgrid: Sender, clock: Clock
) -> None:
    await sendgrid.tell({"event": "open", "email": "a@example.com", "timestamp": 1773576000, "sg_message_id": "m"})
    answer = await metrics.get(
        "/v1/metrics/email.ctr/series", params={"from": "2026-02-10", "to": "2026-04-20", "grain": "month"}
    )
    empty = {"value": None, "numerator": 0, "denominator": 0, "completeness": 1}
    assert answer.json() == {
        "metric": {"key": "email.ctr", "version": 1, "unit": "percent"}, "grain": "month", "timezone": "Europe/Berlin",
        "watermark": clock.now.isoformat().replace("+00:00", "Z"), "as_of": None, "quality": None,
        "next_cursor": None,
        "series": [{"group": {}, "points": [
            {"start": "2026-02-10", **empty},
            {"start": "2026-03-01", "value": 0, "numerator": 0, "denominator": 1, "completeness": 1},
            {"start": "2026-04-01", **empty},
        ]}],
    }  # fmt: skip
    clicks = await metrics.get("/v1/metrics/email.total_clicks/series", params={**YEAR, "grain": "year"})
    (point,) = clicks.json()["series"][0]["points"]
    passed = (clock.now - datetime(2026, 1, 1, tzinfo=BERLIN)) / timedelta(days=365)
    assert point == {
        "start": "2026-01-01", "value": 0, "numerator": 0, "denominator": None, "completeness": pytest.approx(passed)
    }  # fmt: skip


async def test_what_isn_t_counted_yet_holds_the_watermark_whichever_source_told_it(
    open_standard: Open, metrics: httpx.AsyncClient, clock: Clock, metrics_app: FastAPI
) -> None:
    busy, other = await open_standard(), await open_standard()
    began = clock.now
    opened = {"type": "opened", "recipient": "a@x.example", "message_id": "m"}
    days = [began - timedelta(days=each) for each in range(MOST_BY_READERS + 1)]
    await busy.tell(*({**opened, "occurred_at": each.isoformat()} for each in days))
    clock.now += timedelta(hours=1)
    await other.tell({**opened, "occurred_at": clock.now.isoformat()})

    async def watermarks() -> list[str]:
        asked = [{}, {"source_id": str(busy.source_id)}, {"source_id": str(other.source_id)}]
        found = [
            await metrics.get("/v1/metrics/email.opens/series", params={**YEAR, "grain": "total", **each})
            for each in asked
        ]
        return [each.json()["watermark"] for each in found]

    early, late = (each.isoformat().replace("+00:00", "Z") for each in (began, clock.now))
    assert await watermarks() == [early, early, late]
    await COUNT_EVENTS.run(metrics_app)
    assert await watermarks() == [late, early, late]


async def test_before_any_post_there_is_no_watermark(metrics: httpx.AsyncClient, sendgrid: Sender) -> None:
    answer = (await metrics.get("/v1/metrics/email.ctr/series", params={**YEAR, "grain": "total"})).json()
    assert answer["watermark"] is None
    assert answer["series"][0]["points"][0]["completeness"] == 0


async def test_series_are_grouped_and_narrowed(
    metrics: httpx.AsyncClient, open_sendgrid: Open, campaign: Campaigns, points: Read
) -> None:
    one, two = await open_sendgrid(), await open_sendgrid()
    spring = await campaign("spring")
    click = {"event": "click", "email": "a@example.com", "timestamp": 1780315200}
    await one.tell(click, {**click, "category": "spring"}, {**click, "ip": "1", "category": "spring"})
    await two.tell({**click, "category": "spring"})
    path = "/v1/metrics/email.total_clicks/series"

    async def groups(**asked: Any) -> list[tuple[dict[str, Any], int]]:
        answer = await metrics.get(path, params={**YEAR, "grain": "total", **asked})
        assert answer.status_code == 200, answer.text
        return [(series["group"], series["points"][0]["value"]) for series in answer.json()["series"]]

    assert await groups() == [({}, 3)]
    assert await groups(source_id=str(two.source_id)) == [({}, 1)]
    assert await groups(campaign_id=[spring, spring]) == [({}, 2)]
    assert await groups(group_by="source_id") == sorted(
        [({"source_id": str(one.source_id)}, 2), ({"source_id": str(two.source_id)}, 1)], key=str
    )
    stranger = str(new_id())
    assert await groups(group_by="campaign_id", campaign_id=[stranger, spring]) == [
        ({"campaign_id": stranger}, 0), ({"campaign_id": spring}, 2),
    ]  # fmt: skip
    assert sorted(value for _, value in await groups(group_by="campaign_id")) == [1, 2]


@pytest.mark.parametrize(
    ("path", "asked", "status", "field"),
    [
        ("email.ctr", {"from": "2026-01-01", "to": "2026-01-01"}, 422, "to"),
        ("email.ctr", {"from": "2026-01-02", "to": "2026-01-01"}, 422, "to"),
        ("email.ctr", {"from": "0001-01-01", "to": "2026-01-01"}, 422, "to"),
        ("email.ctr", {"from": "2020-01-01", "to": "2026-01-01", "grain": "day"}, 422, "grain"),
        ("email.ctr", {"from": "2026-01-01", "to": "9999-12-31", "grain": "year"}, 422, "to"),
        ("email.ctr", {"from": "2026-01-01"}, 422, "to"),
        ("email.ctr", {"from": "2026-01-01", "to": "2026-02-01", "grain": "hour"}, 422, "grain"),
        ("email.nothing", {"from": "2026-01-01", "to": "2026-02-01"}, 404, None),
    ],
)
async def test_a_series_that_makes_no_sense_is_refused(
    metrics: httpx.AsyncClient, path: str, asked: dict[str, str], status: int, field: str | None
) -> None:
    answer = await metrics.get(f"/v1/metrics/{path}/series", params=asked)
    assert answer.status_code == status, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == ([field] if field else [])


@dataclass
class Statements:
    seen: list[str] = field(default_factory=list)


@contextmanager
def statements(app: FastAPI) -> Iterator[Statements]:
    """Every statement that the app's pool runs meanwhile."""
    found = Statements()

    def note(_: Any, __: Any, statement: str, *rest: Any) -> None:
        found.seen.append(statement)

    engine = app.state.database.engine.sync_engine
    sqlalchemy_event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        sqlalchemy_event.remove(engine, "before_cursor_execute", note)


async def test_many_series_cost_as_many_statements_as_two(
    metrics: httpx.AsyncClient, sendgrid: Sender, metrics_app: FastAPI, campaign: Campaigns
) -> None:
    rng = random.Random(9)
    slugs = ["a", "b", "c"]
    await sendgrid.tell(*random_events(rng, 400, slugs))
    campaigns = [await campaign(slug) for slug in slugs]
    queries = [
        {
            "metric": rng.choice(["email.ctr", "email.total_clicks", "email.opens.human", "email.open_rate"]),
            "from": f"2026-0{rng.randint(1, 3)}-15", "to": f"2026-0{rng.randint(4, 6)}-10",
            "grain": rng.choice(["day", "week", "month", "quarter", "year", "total"]),
            "campaign_ids": rng.sample(campaigns, rng.randrange(3)),
            "source_ids": rng.choice([[], [str(sendgrid.source_id)]]),
        }
        for _ in range(198)
    ]  # fmt: skip
    queries.insert(1, {**queries[0], "metric": "email.nothing"})
    await metrics.post("/v1/series/query", json={"queries": queries[:1]})  # the grades of sources are remembered
    costs = []
    for some in (queries[:3], queries):
        with statements(metrics_app) as seen:
            answer = await metrics.post("/v1/series/query", json={"queries": some})
        assert answer.status_code == 200, answer.text
        costs.append(len(seen.seen))
    assert costs[0] == costs[1] <= 8
    for query, series in zip(queries, answer.json()["series"], strict=True):
        if query["metric"] == "email.nothing":
            assert series["problem"]["code"] == "not_found"
            assert series["points"] == []
            continue
        asked = {"campaign_id": query["campaign_ids"], "source_id": query["source_ids"]}
        alone = await metrics.get(
            f"/v1/metrics/{query['metric']}/series",
            params={"from": query["from"], "to": query["to"], "grain": query["grain"], **asked},
        )
        assert series["points"] == alone.json()["series"][0]["points"]
        assert series["metric"] == alone.json()["metric"]
        assert (series["timezone"], series["watermark"]) == (alone.json()["timezone"], alone.json()["watermark"])
        assert (series["group"], series["problem"]) == ({}, None)


async def test_spans_that_overlap_are_read_in_one_pass(
    metrics: httpx.AsyncClient, sendgrid: Sender, metrics_app: FastAPI, workspace: Workspace
) -> None:
    await sendgrid.tell(*random_events(random.Random(3), 400, []))
    span = {"metric": "email.unique_recipient_impressions", "to": "2026-06-30", "grain": "total"}
    read = []
    for many in (1, 20):
        queries = [{**span, "from": f"2025-01-{1 + n:02}"} for n in range(many)]
        found: list[tuple[str, Any]] = []

        def note(_: Any, __: Any, statement: str, parameters: Any, *rest: Any, to: Any = found) -> None:
            if "FROM reach" in statement and "humans" in statement:
                to.append((statement, parameters))

        engine = metrics_app.state.database.engine.sync_engine
        sqlalchemy_event.listen(engine, "before_cursor_execute", note)
        try:
            answer = await metrics.post("/v1/series/query", json={"queries": queries})
        finally:
            sqlalchemy_event.remove(engine, "before_cursor_execute", note)
        assert len({series["points"][0]["value"] for series in answer.json()["series"]}) == 1
        ((statement, parameters),) = found
        async with metrics_app.state.database.tenant(workspace.id) as session:
            connection = await session.connection()
            rows = await connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
            plan = rows.scalar_one()
        read.append(sets_read((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))
    # Postgres tells an average of the loops, rounded.
    assert read[0] == pytest.approx(read[1], abs=0.5)
    assert read[0] > 0


def sets_read(plan: dict[str, Any]) -> float:
    own = plan["Actual Rows"] * plan["Actual Loops"] if plan.get("Relation Name") == "reach" else 0
    return float(own) + sum(map(sets_read, plan.get("Plans", [])))


async def test_series_wait_for_their_turn_without_a_connection(
    metrics: httpx.AsyncClient, metrics_app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = metrics_app.state.series_turns
    asked = {"queries": [{"metric": "email.ctr", **YEAR, "grain": "total"}]}
    for _ in range(turns.MOST_AT_ONCE):
        await asyncio.wait_for(taken.acquire(), 1)
    try:
        # More of them than there are connections.
        waiting = [asyncio.create_task(metrics.post("/v1/series/query", json=asked)) for _ in range(12)]
        await asyncio.sleep(0.2)
        assert (await asyncio.wait_for(metrics.get("/v1/sources"), 2)).status_code == 200
        assert metrics_app.state.database.engine.pool.checkedout() == 0
        assert not any(each.done() for each in waiting)
        monkeypatch.setattr(turns, "WAIT_SECONDS", 0.05)
        for refused in (
            await metrics.post("/v1/series/query", json=asked),
            await metrics.get("/v1/metrics/email.ctr/series", params={**YEAR, "grain": "total"}),
        ):
            assert (refused.status_code, refused.json()["code"]) == (503, "busy")
            assert refused.headers["retry-after"] == str(turns.RETRY_SECONDS)
    finally:
        for _ in range(turns.MOST_AT_ONCE):
            taken.release()
    assert {(await each).status_code for each in waiting} == {200}


async def test_what_stands_for_no_campaign_here_is_no_campaign_to_ask_for(metrics: httpx.AsyncClient) -> None:
    asked = {**YEAR, "campaign_id": str(NO_CAMPAIGN)}
    answer = await metrics.get("/v1/metrics/email.opens/series", params=asked)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "campaign_id")


async def test_a_series_of_a_batch_that_makes_no_sense_costs_no_other(metrics: httpx.AsyncClient) -> None:
    good = {"metric": "email.ctr", "from": "2026-01-01", "to": "2026-02-01", "grain": "day"}
    wrong = [{"to": "2025-01-01"}, {"from": "0001-01-01"}, {"from": "2020-01-01"}, {"metric": "email.nothing"}]
    answer = await metrics.post("/v1/series/query", json={"queries": [{**good, **each} for each in ({}, *wrong)]})
    assert answer.status_code == 200, answer.text
    first, *others = answer.json()["series"]
    assert (len(first["points"]), first["problem"]) == (31, None)
    codes = ["invalid_span", "invalid_span", "too_many_points", "not_found"]
    assert [each["problem"]["code"] for each in others] == codes
    assert others[0]["problem"]["detail"].startswith("to: must be after from")
    assert [each["points"] for each in others] == [[]] * 4


async def test_a_batch_that_is_none_is_refused(metrics: httpx.AsyncClient) -> None:
    good = {"metric": "email.ctr", "from": "2026-01-01", "to": "2026-02-01", "grain": "day"}
    long = {**good, "from": "2023-06-01"}
    assert (await metrics.post("/v1/series/query", json={"queries": [long] * 60})).status_code == 422
    assert (await metrics.post("/v1/series/query", json={"queries": [{**good, "more": 1}]})).status_code == 422
    assert (await metrics.post("/v1/series/query", json={"queries": []})).json() == {"series": []}


async def test_numbers_are_their_workspaces_alone(
    connect: Connect, sendgrid: Sender, other_workspace: Workspace, campaign: Campaigns
) -> None:
    spring = await campaign("spring")
    await sendgrid.tell({"event": "click", "email": "a@example.com", "timestamp": 1780315200, "category": "spring"})
    stranger = connect("metrics", other_workspace)
    for asked in ({}, {"campaign_id": spring}, {"source_id": str(sendgrid.source_id)}):
        answer = (
            await stranger.get("/v1/metrics/email.total_clicks/series", params={**YEAR, "grain": "total", **asked})
        ).json()
        assert [point["value"] for point in answer["series"][0]["points"]] == [0]
        assert answer["watermark"] is None


async def test_the_catalogue_says_what_numbers_mean(metrics: httpx.AsyncClient) -> None:
    one = (await metrics.get("/v1/metrics/email.ctr")).json()
    assert {"version", "name", "words"} <= one.keys()
    assert (one["unit"], one["direction"], one["additive"], one["scale"]) == ("percent", "up", False, 100)
    assert (one["numerator"], one["denominator"]) == ("clicks", "unique_recipient_impressions")
    assert (await metrics.get("/v1/metrics/email.nothing")).status_code == 404
    found: list[dict[str, Any]] = []
    cursor = None
    while cursor or not found:
        page = await metrics.get("/v1/metrics", params={"limit": 5} | ({"cursor": cursor} if cursor else {}))
        found += page.json()["items"]
        cursor = page.json()["next_cursor"]
    assert one in found
    assert [each["key"] for each in found] == sorted({each["key"] for each in found})
    named = await metrics.get("/v1/metrics", params={"key": ["email.ctr", "email.total_clicks", "x"]})
    assert [each["key"] for each in named.json()["items"]] == ["email.ctr", "email.total_clicks"]


async def news(app: FastAPI, workspace: Workspace) -> list[dict[str, Any]]:
    await COUNT_EVENTS.run(app)
    async with app.state.database.tenant(workspace.id) as session:
        rows = await session.execute(text("SELECT data FROM outbox WHERE type = 'metrics.numbers.changed' ORDER BY id"))
        return [row.data for row in rows]


async def test_others_hear_that_numbers_changed_and_have_one_such_news_waiting_at_most(
    metrics_app: FastAPI, workspace: Workspace, sendgrid: Sender, campaign: Campaigns, deliver: Deliver
) -> None:
    spring = await campaign("spring")
    click = {"event": "click", "email": "a@example.com", "timestamp": 1780315200, "category": "spring"}
    await sendgrid.tell(click)
    first = {"campaign_ids": [spring], "unmapped": False, "from": "2026-06-01", "to": "2026-06-02"}
    assert await news(metrics_app, workspace) == [first]
    await sendgrid.tell(click)  # nothing new
    await sendgrid.tell({**click, "timestamp": 1780315200 - 5 * 86400, "category": "none"})
    await sendgrid.tell({**click, "timestamp": 1780315200 + 86400})

    await TELL_CHANGES.run(metrics_app)
    assert await news(metrics_app, workspace) == [first]
    await deliver()
    await TELL_CHANGES.run(metrics_app)
    later = {"campaign_ids": [spring], "unmapped": True, "from": "2026-05-27", "to": "2026-06-03"}
    assert await news(metrics_app, workspace) == [first, later]
    await deliver()
    await TELL_CHANGES.run(metrics_app)
    assert await news(metrics_app, workspace) == [first, later]


async def test_a_workspace_whose_news_can_not_be_told_keeps_no_other_from_its_own(
    metrics_app: FastAPI, workspace: Workspace, other_workspace: Workspace, open_sendgrid: Open, deliver: Deliver,
    stack: TestStack,
) -> None:  # fmt: skip
    both = (workspace, other_workspace)
    senders = [await open_sendgrid(each) for each in both]
    click = {"event": "click", "email": "a@example.com", "timestamp": 1780315200}
    for sender in senders:
        await sender.tell(click)
    await COUNT_EVENTS.run(metrics_app)
    for sender in senders:  # what they tell now waits until the first is delivered
        await sender.tell({**click, "timestamp": 1780315201})
    await COUNT_EVENTS.run(metrics_app)
    await deliver()
    async with as_owner(stack.admin_dsn, stack.name, "metrics") as session:
        await session.execute(text("""
            CREATE FUNCTION refuse_news() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'this news is refused'; END $$"""))  # fmt: skip
        await session.execute(text(f"""
            CREATE TRIGGER refuse BEFORE INSERT ON outbox FOR EACH ROW WHEN (NEW.workspace_id = '{workspace.id}')
            EXECUTE FUNCTION refuse_news()"""))  # fmt: skip
    try:
        await TELL_CHANGES.run(metrics_app)
        assert [len(await news(metrics_app, each)) for each in both] == [1, 2]
    finally:
        async with as_owner(stack.admin_dsn, stack.name, "metrics") as session:
            await session.execute(text("DROP FUNCTION refuse_news() CASCADE"))
    await TELL_CHANGES.run(metrics_app)
    assert [len(await news(metrics_app, each)) for each in both] == [2, 2]
