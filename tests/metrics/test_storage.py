"""Where events are stored: a month to a partition, read again out of quarantine, and how good what comes is."""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from chassis.fields import new_id
from chassis.testing import Clock, TestStack, statements
from services.metrics.alert.actions import look_at_alerts
from services.metrics.event import rules as event_rules
from services.metrics.event.actions import keep_months_of_events
from services.metrics.event.store import keep_months
from services.metrics.quality.rules import Hour, Parts, Steps, grade_of, parts_of, score_of
from services.metrics.quarantine import store as quarantine_store
from services.metrics.source.intake import Intake
from tests.metrics.conftest import Campaigns, Open, Read, Sender
from tests.parts import Connect, Workspace

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def told(kind: str = "opened", at: datetime = NOON, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "recipient": "ann@example.com", "message_id": "m1", "occurred_at": at.isoformat(), **fields}


async def parts(stack: TestStack) -> list[str]:
    connection = await asyncpg.connect(stack.admin_dsn)
    found = await connection.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'metrics.occurrence'::regclass"
    )
    await connection.close()
    return sorted(each["name"].removeprefix("metrics.occurrence_") for each in found)


async def test_a_month_that_is_over_is_dropped_and_its_numbers_stay(
    connect: Connect, workspace: Workspace, standard: Sender, metrics_app: FastAPI, stack: TestStack, clock: Clock
) -> None:
    old = clock.now - timedelta(days=30 * 35)
    keys = ("email.opens", "email.unique_opens", "email.unique_recipient_impressions.human")

    async def numbers() -> list[float]:
        span = {"from": str(old.date() - timedelta(days=40)), "to": "2027-01-01", "grain": "total"}
        found = [await connect("metrics", workspace).get(f"/v1/metrics/{key}/series", params=span) for key in keys]
        return [each.json()["series"][0]["points"][0]["value"] for each in found]

    await standard.tell(told(at=old), told(at=NOON))
    before = await numbers()
    assert before == [2, 1, 1]
    clock.now += timedelta(days=120)
    # The server's own clock keeps what is younger than a year, whatever ours says.
    await keep_months_of_events(metrics_app)
    assert f"{old:%Y_%m}" not in await parts(stack)
    assert f"{event_rules.month(clock.now.date(), 2):%Y_%m}" in await parts(stack)
    assert await numbers() == before
    answer = await standard.post(told(at=old, message_id="m2"))
    assert answer.json() == {"received": 0, "quarantined": 1}
    (kept,) = (await connect("metrics", workspace).get("/v1/quarantine")).json()["items"]
    assert "since when events are kept" in kept["reason"]
    await keep_months(metrics_app.state.database, date(old.year, old.month, 1), date(old.year, old.month, 1))


async def test_one_event_is_one_whichever_month_it_is_in(
    metrics: httpx.AsyncClient, standard: Sender, points: Read
) -> None:
    edge = datetime(2026, 6, 1, tzinfo=UTC)
    both = [told(at=edge - timedelta(microseconds=1)), told(at=edge)]
    for _ in range(3):
        await standard.tell(*both)
    assert (await points("email.opens"))[0]["value"] == 2


async def test_what_is_read_again_counts_once_and_what_still_can_t_be_read_says_why(
    metrics: httpx.AsyncClient, standard: Sender, points: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.metrics.source.platforms import telling

    long_id = "x" * 50
    with monkeypatch.context() as broken:
        broken.setattr(telling, "MOST_MESSAGE_ID", 40)
        answer = await standard.post([told(message_id=long_id), told(message_id=long_id + "y"), told("never")])
    assert answer.json() == {"received": 0, "quarantined": 3}
    waiting = (await metrics.get("/v1/quarantine", params={"state": "waiting"})).json()["items"]
    await standard.tell(told(message_id=long_id + "y"))
    asked = {"source_id": str(standard.source_id)}
    answer = await metrics.post("/v1/quarantine/replay", json=asked)
    assert answer.status_code == 200, answer.text
    found = {each["id"]: each for each in answer.json()["items"]}
    assert sorted((each["outcome"], each["stored"]) for each in found.values()) == [
        ("known", 0), ("stored", 1), ("unreadable", 0),
    ]  # fmt: skip
    assert found.keys() == {each["id"] for each in waiting}
    assert (await points("email.opens"))[0]["value"] == 2
    left = (await metrics.get("/v1/quarantine", params={"state": "waiting"})).json()["items"]
    assert [(each["id"], found[each["id"]]["reason"]) for each in left] == [(left[0]["id"], left[0]["reason"])]
    again = (await metrics.post("/v1/quarantine/replay", json={"ids": list(found)})).json()["items"]
    assert [each["outcome"] for each in again] == ["unreadable"]
    for wrong in ({}, {**asked, "ids": list(found)}):
        assert (await metrics.post("/v1/quarantine/replay", json=wrong)).status_code == 422


async def test_of_large_parts_few_are_read_again_at_once(
    metrics: httpx.AsyncClient, standard: Sender, points: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.metrics.source.platforms import telling

    with monkeypatch.context() as broken:
        broken.setattr(telling, "MOST_MESSAGE_ID", 4)
        await standard.post([told(message_id=f"{n}" * 400) for n in range(5)])
    waiting = [each["id"] for each in (await metrics.get("/v1/quarantine")).json()["items"]]
    monkeypatch.setattr(quarantine_store, "MOST_BYTES", 600)
    source = {"source_id": str(standard.source_id)}
    told_of = [(await metrics.post("/v1/quarantine/replay", json=each)).json() for each in ({"ids": waiting}, source)]
    assert [([item["outcome"] for item in each["items"]], each["more"]) for each in told_of] == [
        (["stored", "stored"], True), (["stored", "stored"], True),
    ]  # fmt: skip
    last = (await metrics.post("/v1/quarantine/replay", json={"ids": waiting})).json()
    assert (len(last["items"]), last["more"]) == (1, False)
    assert (await points("email.opens"))[0]["value"] == 5


HOURS = st.lists(
    st.builds(
        Hour, st.integers(0, 700).map(lambda each: NOON - timedelta(hours=each)),
        *(st.integers(0, 1000) for _ in range(5)),
    ),
    max_size=30, unique_by=lambda hour: hour.at,
).map(lambda hours: sorted(hours, key=lambda hour: hour.at))  # fmt: skip


@given(HOURS, st.builds(Steps, *(st.integers(0, 1000) for _ in range(4))))
def test_a_score_lies_between_its_parts(hours: list[Hour], steps: Steps) -> None:
    parts = parts_of(hours, steps, hours[-1].at if hours else None, NOON)
    known = [each for each in vars(parts).values() if each is not None]
    assert all(0 <= each <= 100 for each in known)
    score = score_of(parts)
    assert (score is None) == (not known)
    if score is not None:
        assert min(known) - 1e-9 <= score <= max(known) + 1e-9


def test_a_part_falls_by_what_it_is_about_and_no_other_does() -> None:
    def of(steps: Steps = Steps(100, 95, 60, 70), late: int = 0, **changed: int) -> Parts:
        base = {"received": 100, "stored": 100, "unmapped": 0, "quarantined": 0, "refused": 0}
        hours = [Hour(NOON - timedelta(hours=each), **{**base, **changed}) for each in range(48, -1, -1)]
        return parts_of(hours, steps, NOON - timedelta(hours=late), NOON)

    whole = vars(of())
    assert set(whole.values()) == {100}
    for part, parts in {
        "freshness": of(late=20), "completeness": of(unmapped=50), "validity": of(quarantined=50),
        "uniqueness": of(stored=50), "consistency": of(Steps(100, 120, 10, 0)),
    }.items():  # fmt: skip
        assert [name for name, value in vars(parts).items() if value != 100] == [part]
    assert grade_of(of(), 100) == "good"
    assert grade_of(of(quarantined=500), 100) == "poor"
    assert grade_of(of(received=0, stored=0), 0) == "silent"


async def test_a_source_s_quality_tells_its_parts(
    metrics: httpx.AsyncClient, open_standard: Open, metrics_app: FastAPI
) -> None:
    sender = await open_standard()
    await sender.tell(told(), told("delivered"))
    await sender.tell(told())
    await sender.post({"type": "never"})
    intake: Intake = metrics_app.state.intake
    await intake.tell()
    answer = await metrics.get(f"/v1/sources/{sender.source_id}/quality", params={"days": 7})
    assert answer.status_code == 200, answer.text
    quality = answer.json()
    assert quality["parts"] == {
        "freshness": 100, "completeness": 0, "validity": 75, "uniqueness": pytest.approx(66.7), "consistency": None,
    }  # fmt: skip
    assert (quality["grade"], len(quality["by_day"])) == ("poor", 1)
    many = (await metrics.get("/v1/source-quality", params={"source_id": str(sender.source_id), "days": 7})).json()
    assert many["items"] == [quality]
    assert (await metrics.get(f"/v1/sources/{new_id()}/quality")).status_code == 404


async def test_a_source_is_consistent_by_people_however_often_and_in_which_months_they_open(
    metrics: httpx.AsyncClient, open_standard: Open, campaign: Campaigns, clock: Clock
) -> None:
    await campaign("spring")
    first = clock.now.replace(day=1)
    sources = [await open_standard() for _ in range(3)]

    def acts(kind: str, at: datetime, many: int, named: bool = True) -> list[dict[str, Any]]:
        return [
            told(kind, at + timedelta(seconds=n), tags=["spring"], recipient=f"p{n}@x.example" if named else None)
            for n in range(many)
        ]

    async def consistency() -> list[float | None]:
        ids = [str(each.source_id) for each in sources]
        await metrics.get("/v1/metrics/email.opens/series", params={"from": "2026-01-01", "to": "2027-01-01"})
        found = (await metrics.get("/v1/source-quality", params={"source_id": ids})).json()["items"]
        of = {each["source_id"]: each["parts"]["consistency"] for each in found}
        return [of[each] for each in ids]

    two_months, unnamed, before = sources
    for at in (first - timedelta(days=2), first + timedelta(days=2)):
        await two_months.tell(*acts("opened", at, 9))
    await two_months.tell(*acts("delivered", first - timedelta(days=2), 10))
    await unnamed.tell(*acts("delivered", first, 1), *acts("opened", first, 3, named=False))
    await before.tell(*acts("delivered", first - timedelta(days=32), 10), *acts("opened", first, 9))
    assert await consistency() == [100, None, 100]
    await two_months.tell(*acts("opened", first, 20))
    assert await consistency() == [50, None, 100]


async def test_a_series_says_how_good_the_sources_are_that_it_rests_on(
    metrics: httpx.AsyncClient, open_standard: Open, campaign: Campaigns, metrics_app: FastAPI, clock: Clock
) -> None:
    await campaign("spring")
    good, poor = await open_standard(), await open_standard()
    await good.tell(told("delivered", tags=["spring"]), told(tags=["spring"]))
    await poor.tell(told())
    await metrics_app.state.intake.tell()
    today = clock.now.date()
    asked: dict[str, Any] = {"from": str(today - timedelta(days=90)), "to": str(today), "grain": "day"}
    bad = {"grade": "poor", "poor_source_ids": [str(poor.source_id)]}

    async def quality(key: str = "email.opens", **more: Any) -> Any:
        answer = await metrics.get(f"/v1/metrics/{key}/series", params={**asked, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()["quality"]

    assert await quality() == await quality("email.ctr", group_by="campaign_id") == bad
    assert await quality(source_id=str(good.source_id)) == {"grade": "good", "poor_source_ids": []}
    assert await quality("web.visits") is None  # observed, not told by a source
    assert await quality(to=str(today - timedelta(days=31))) is None
    batch = [{"metric": "email.opens", **asked, "source_ids": [str(each.source_id)]} for each in (poor, good)]
    answers = (await metrics.post("/v1/series/query", json={"queries": batch})).json()["series"]
    assert [each["quality"]["grade"] for each in answers] == ["poor", "good"]
    # Files and alerts say so, too.
    file = await metrics.get("/v1/metrics/email.opens/series/export", params=asked)
    assert {line["quality"] for line in csv.DictReader(io.StringIO(file.text))} == {"poor"}
    alert = {"name": "Opens", "metric": "email.opens", "kind": "above", "value": 0}
    assert (await metrics.post("/v1/alerts", json=alert)).status_code == 201
    await poor.tell(told(at=clock.now))
    await look_at_alerts(metrics_app)
    (finding,) = (await metrics.get("/v1/findings")).json()["items"]
    assert finding["quality"] == "poor"
    # What is remembered costs no statement; after a minute it is what it has become.
    for _ in range(9):
        await good.post({"type": "never"})
    await metrics_app.state.intake.tell()
    with statements(metrics_app.state.database) as seen:
        assert await quality() == bad
    assert not any("FROM intake" in each for each in seen)
    clock.now += timedelta(minutes=1)
    assert (await quality())["poor_source_ids"] == sorted([str(good.source_id), str(poor.source_id)])
