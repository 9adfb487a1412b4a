"""What alerts promise: a number that crosses its line, or isn't what its weekday's have been, is told once."""

from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from chassis.fields import new_id
from chassis.testing import Clock
from services.metrics.alert.actions import WATCH, look_at_alerts
from services.metrics.alert.rules import AlertKind, Point, Watch, anomaly, judge, span_of
from services.metrics.rollup.actions import COUNT_EVENTS
from services.metrics.series.rules import Grain, periods
from tests.metrics.conftest import Campaigns, Sender
from tests.parts import Connect, Workspace

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = date(2026, 6, 15)
BOUNCES = {"name": "Too many bounces", "metric": "email.bounces", "kind": "above", "value": 2}


def test_an_anomaly_is_far_from_the_median_of_its_weekday() -> None:
    values = [100.0, 104.0, 96.0, 100.0, 98.0, 102.0, 100.0, 100.0]
    known = {MONDAY - timedelta(days=7 * n): value for n, value in enumerate(values, 1)}
    # Another weekday's numbers are no part of it.
    known |= {MONDAY - timedelta(days=7 * n + 1): 1e6 for n in range(1, 9)}
    watch = Watch(AlertKind.ANOMALY, counts=True)
    assert anomaly(watch, MONDAY, {**known, MONDAY: 130.0}) is None
    found = anomaly(watch, MONDAY, {**known, MONDAY: 140.0})
    # The root of 100 is the greatest of 1.4826 * 1, 5 and 10.
    assert found is not None
    assert (found.expected, found.deviation) == (100.0, 4.0)
    few = {day: value for day, value in known.items() if day > MONDAY - timedelta(days=28)}
    assert anomaly(watch, MONDAY, {**few, MONDAY: 1e9}) is None


@given(st.lists(st.floats(0, 1e6), min_size=4, max_size=8), st.floats(0, 1e6), st.booleans())
def test_an_anomaly_is_as_the_formula_says(past: list[float], value: float, counts: bool) -> None:
    known = {MONDAY - timedelta(days=7 * n): each for n, each in enumerate(past, 1)} | {MONDAY: value}
    m = median(past)
    deviation = max(1.4826 * median(abs(each - m) for each in past), 0.05 * m, max(m, 1) ** 0.5 if counts else 0)
    found = anomaly(Watch(AlertKind.ANOMALY, counts=counts), MONDAY, known)
    assert (found is not None) == (deviation > 0 and abs(value - m) / (deviation or 1) > 3.5)


@given(
    st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.sampled_from([each for each in Grain if each is not Grain.TOTAL])
)
def test_an_alert_reads_whole_periods(today: date, grain: Grain) -> None:
    for kind in AlertKind:
        span = span_of(today, grain, kind, 8)
        assert span.start < today < span.end
        whole = periods(span.start - timedelta(days=400), span.end, grain)
        assert span.start in {each.start for each in whole}


def test_a_period_is_judged_when_it_is_known_or_can_only_rise() -> None:
    points = [Point(MONDAY + timedelta(days=n), 10.0 * n, 1.0 if n < 3 else 0.5) for n in range(4)]
    above = Watch(AlertKind.ABOVE, 15, grows=True)
    assert [each.value for each in judge(above, points, MONDAY)] == [20, 30]
    assert [each.value for each in judge(Watch(AlertKind.ABOVE, 15), points, MONDAY)] == [20]
    assert [each.value for each in judge(Watch(AlertKind.BELOW, 40), points, MONDAY + timedelta(days=1))] == [10, 20]
    assert judge(above, [Point(MONDAY, None, 1.0)], MONDAY) == []


def test_days_before_there_was_anything_are_no_history() -> None:
    days = [MONDAY - timedelta(days=back) for back in range(60, -1, -1)]
    watch = Watch(AlertKind.ANOMALY, counts=True)

    def found(first: date | None, since: date) -> list[date]:
        points = [Point(day, 100.0 if day >= since else 0.0, 1.0) for day in days]
        return [each.start for each in judge(watch, points, date.min, first)]

    assert found(MONDAY - timedelta(days=9), MONDAY - timedelta(days=9)) == found(None, MONDAY) == []
    # Where there were events, and none of these, they are zeros.
    assert found(days[0], MONDAY) == [MONDAY]


async def told(app: FastAPI, workspace: Workspace) -> list[tuple[str, dict[str, Any]]]:
    async with app.state.database.tenant(workspace.id) as session:
        rows = await session.execute(text("SELECT type, data FROM outbox WHERE type ~ 'threshold|anomaly' ORDER BY id"))
        return [(row.type, row.data) for row in rows]


def bounce(clock: Clock, number: int, back: int = 0) -> dict[str, Any]:
    at = int((clock.now - timedelta(days=back)).timestamp()) - number
    return {"event": "bounce", "email": f"p{number}@example.com", "timestamp": at, "sg_message_id": f"m{number}"}


async def test_a_line_that_is_crossed_is_told_once_for_each_period(
    metrics: httpx.AsyncClient, sendgrid: Sender, metrics_app: FastAPI, workspace: Workspace, clock: Clock
) -> None:
    alert = (await metrics.post("/v1/alerts", json=BOUNCES)).json()
    await sendgrid.tell(*(bounce(clock, n) for n in range(2)), *(bounce(clock, n, back=3) for n in range(9)))
    await look_at_alerts(metrics_app)
    assert await told(metrics_app, workspace) == []
    await sendgrid.tell(bounce(clock, 2))
    for _ in range(2):
        await look_at_alerts(metrics_app)
        ((kind, data),) = await told(metrics_app, workspace)
    assert kind == "metrics.threshold.crossed"
    today = clock.now.astimezone(BERLIN).date().isoformat()
    assert (data["alert_id"], data["start"], data["value"], data["limit"]) == (alert["id"], today, 3, 2)
    await sendgrid.tell(bounce(clock, 3))
    await look_at_alerts(metrics_app)
    assert len(await told(metrics_app, workspace)) == 1
    (finding,) = (await metrics.get("/v1/findings", params={"alert_id": alert["id"]})).json()["items"]
    assert (finding["id"], finding["value"], finding["acknowledged_at"]) == (data["finding_id"], 3, None)
    path = f"/v1/findings/{finding['id']}/acknowledge"
    known = await metrics.post(path, json={"note": "The list was old"})
    assert (known.json()["acknowledged_by"], known.json()["note"]) == ("client:test", "The list was old")
    assert (await metrics.post(path, json={})).json()["code"] == "acknowledged"
    assert (await metrics.get(f"/v1/findings/{finding['id']}")).json() == known.json()


async def test_a_paused_alert_looks_away(
    metrics: httpx.AsyncClient, sendgrid: Sender, metrics_app: FastAPI, workspace: Workspace, clock: Clock
) -> None:
    alert = (await metrics.post("/v1/alerts", json=BOUNCES)).json()
    await metrics.post(f"/v1/alerts/{alert['id']}/pause")
    await sendgrid.tell(*(bounce(clock, n) for n in range(3)))
    await look_at_alerts(metrics_app)
    assert await told(metrics_app, workspace) == []
    await metrics.post(f"/v1/alerts/{alert['id']}/resume")
    await look_at_alerts(metrics_app)
    assert len(await told(metrics_app, workspace)) == 1
    changed = await metrics.patch(f"/v1/alerts/{alert['id']}", json={"value": 100}, headers={"If-Match": "3"})
    assert (changed.status_code, changed.json()["value"]) == (200, 100)
    assert (await metrics.delete(f"/v1/alerts/{alert['id']}")).status_code == 200
    assert (await metrics.get("/v1/findings")).json()["items"] == []


async def test_a_day_out_of_the_ordinary_is_told(
    metrics: httpx.AsyncClient, metrics_app: FastAPI, workspace: Workspace, clock: Clock
) -> None:
    today = clock.now.astimezone(BERLIN).date()
    asked = {"name": "Visits", "metric": "web.visits", "kind": "anomaly", "weeks": 6}
    alert = (await metrics.post("/v1/alerts", json=asked)).json()
    rows = [
        {"metric": "web.visits", "day": f"{today - timedelta(days=back)}", "value": f"{1000 + back}"}
        for back in range(1, 50)
    ]
    assert (await metrics.post("/v1/observations/import", json={"rows": rows})).json()["recorded"] == 49
    await metrics.post("/v1/observations", json={"metric": "web.visits", "day": f"{today}", "value": "200"})
    await look_at_alerts(metrics_app)
    assert await told(metrics_app, workspace) == []  # the day isn't over
    clock.now = datetime.combine(today + timedelta(days=1), datetime.min.time(), BERLIN) + timedelta(minutes=1)
    await metrics.post(
        "/v1/observations", json={"metric": "web.visits", "day": f"{today - timedelta(days=60)}", "value": "1"}
    )
    await look_at_alerts(metrics_app)
    ((kind, data),) = await told(metrics_app, workspace)
    assert kind == "metrics.anomaly.found"
    assert (data["alert_id"], data["start"], data["value"]) == (alert["id"], f"{today}", 200)
    assert data["expected"] == median(1000 + 7 * n for n in range(1, 7))
    assert data["deviation"] < -3.5


@pytest.mark.parametrize("older", [False, True])
async def test_a_new_workspace_or_campaign_is_not_out_of_the_ordinary(
    metrics: httpx.AsyncClient, standard: Sender, metrics_app: FastAPI, workspace: Workspace, clock: Clock,
    campaign: Campaigns, older: bool,
) -> None:  # fmt: skip
    def opened(back: int, many: int, *tags: str) -> list[dict[str, Any]]:
        at = clock.now - timedelta(days=back)
        return [
            {"type": "opened", "occurred_at": f"{(at - timedelta(seconds=n)).isoformat()}", "tags": [*tags]}
            for n in range(many)
        ]

    spring = await campaign("spring")
    asked = {"metric": "email.opens", "kind": "anomaly"}
    for named in ({"name": "All"}, {"name": "Spring", "campaign_ids": [spring]}):
        assert (await metrics.post("/v1/alerts", json={**asked, **named})).status_code == 201
    async with metrics_app.state.database.tenant(workspace.id) as session:
        await session.execute(text("UPDATE alert SET since = since - 7"))
    await standard.tell(*opened(60, 1)) if older else None
    await standard.tell(*opened(1, 90, "spring"), *opened(2, 90, "spring"))
    await standard.tell(*opened(0, 1))
    await COUNT_EVENTS.run(metrics_app)
    await look_at_alerts(metrics_app)
    found = [data["name"] for _, data in await told(metrics_app, workspace)]
    # The campaign has no days before; those of the workspace are zeros, where it had begun.
    assert sorted(found) == (["All", "All"] if older else [])


async def test_alerts_are_looked_at_when_numbers_change_or_an_hour_has_passed(
    metrics: httpx.AsyncClient, sendgrid: Sender, metrics_app: FastAPI, workspace: Workspace, clock: Clock
) -> None:
    async def waiting() -> bool:
        async with metrics_app.state.database.tenant(workspace.id) as session:
            return bool(await session.scalar(text("SELECT changes > seen FROM watch")))

    await metrics.post("/v1/alerts", json=BOUNCES)
    assert await waiting()
    clock.now += timedelta(seconds=1)
    await WATCH.run(metrics_app)
    assert not await waiting()
    clock.now += timedelta(seconds=1)
    await sendgrid.tell(bounce(clock, 1))
    await COUNT_EVENTS.run(metrics_app)
    assert await waiting()


async def test_years_of_what_only_events_tell_are_looked_at_as_far_as_events_are_kept(
    connect: Connect, standard: Sender, metrics_app: FastAPI, workspace: Workspace, clock: Clock
) -> None:
    clock.now = datetime(2027, 1, 1, 12, tzinfo=UTC)
    metrics = connect("metrics", workspace)
    alert = {**BOUNCES, "metric": "email.unique_deliveries", "grain": "year", "value": 0}
    assert (await metrics.post("/v1/alerts", json=alert)).status_code == 201
    await standard.tell({"type": "delivered", "recipient": "a@x.example", "occurred_at": clock.now.isoformat()})
    await look_at_alerts(metrics_app)
    ((_, data),) = await told(metrics_app, workspace)
    assert (data["start"], data["value"]) == ("2027-01-01", 1)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"metric": "email.nothing"}, "metric"), ({"value": None}, "body"), ({"kind": "anomaly"}, "body"),
        ({"grain": "total"}, "body"), ({"campaign_ids": [f"{new_id()}"]}, "campaign_ids"),
        ({"sensitivity": 0}, "sensitivity"), ({"value": "NaN"}, "value"),
    ],
)  # fmt: skip
async def test_an_alert_that_makes_no_sense_is_refused(
    metrics: httpx.AsyncClient, wrong: dict[str, Any], field: str
) -> None:
    answer = await metrics.post("/v1/alerts", json={**BOUNCES, **wrong})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field), answer.text


async def test_a_metric_that_an_alert_watches_is_in_use(
    metrics: httpx.AsyncClient, connect: Connect, other_workspace: Workspace
) -> None:
    await metrics.post(
        "/v1/metrics", json={"key": "shop.some", "name": "Some", "unit": "count", "expression": "clicks"}
    )
    alert = (await metrics.post("/v1/alerts", json={**BOUNCES, "metric": "shop.some"})).json()
    assert "alerts: Too many bounces" in (await metrics.delete("/v1/metrics/shop.some")).json()["detail"]
    assert (await connect("metrics", other_workspace).get(f"/v1/alerts/{alert['id']}")).status_code == 404
