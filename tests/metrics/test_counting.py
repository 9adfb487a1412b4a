"""What counting promises: whichever way events are counted, by whatever they are told apart, it is a plain count."""

import random
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from fastapi import FastAPI

from chassis.testing import Clock
from services.metrics.rollup.actions import COUNT_EVENTS
from tests.metrics.conftest import Campaigns, Open, Read, Sender
from tests.metrics.test_series import YEAR, random_events, roll_ups
from tests.parts import Connect, Workspace

BERLIN = ZoneInfo("Europe/Berlin")
TYPES = {"open": "opened", "click": "clicked", "delivered": "delivered", "processed": "queued"}
Told = dict[str, Any]
Key = Callable[[Told], object]


def whole(event: Told) -> object:
    """What SendGrid's events are the same by."""
    stable = (event[name] for name in ("event", "sg_message_id", "email", "timestamp", "url"))
    return tuple(stable)


def pair(event: Told) -> object:
    return event["email"], event["sg_message_id"]


def recipient(event: Told) -> object:
    return event["email"]


def count(events: Iterable[Told], kind: str, key: Key, flavour: str = "") -> int:
    """Distinct keys of a kind; of a flavour those whose best event is of it."""
    best: dict[object, str] = {}
    for each in events:
        if each["event"] == kind:
            verdict = "bot" if each["sg_machine_open"] else "human"
            if best.get(key(each)) != "human":
                best[key(each)] = verdict
    return sum(not flavour or verdict == flavour for verdict in best.values())


EXPECTED: dict[str, tuple[str, Key]] = {
    "email.total_clicks": ("click", whole), "email.opens": ("open", whole), "email.deliveries": ("delivered", whole),
    "email.unique_opens": ("open", pair), "email.unique_openers": ("open", recipient),
    "email.unique_recipient_impressions": ("open", pair), "email.unique_clicks": ("click", pair),
    "email.unique_clickers": ("click", recipient), "email.unique_deliveries": ("delivered", pair),
}  # fmt: skip


def once(events: list[Told]) -> list[Told]:
    return list({whole(each): each for each in reversed(events)}.values())


@pytest.mark.parametrize("seed", range(2))
async def test_every_count_is_a_plain_count_in_every_flavour_from_roll_ups_and_from_events(
    sendgrid: Sender, points: Read, clock: Clock, seed: int
) -> None:
    events = random_events(random.Random(seed), 400, [])
    await sendgrid.tell(*events)
    kept = once(events)
    for key, (kind, by) in EXPECTED.items():
        flavours = ("", ".human", ".bot", ".unknown") if kind in ("open", "click") else ("",)
        for flavour in flavours:
            asked = {"from": "2025-01-01", "grain": "quarter"}
            rolled = await points(f"{key}{flavour}", **asked)
            assert await points(f"{key}{flavour}", **asked, as_of=clock.now.isoformat()) == rolled
            for point, after in zip(rolled, [*rolled[1:], {"start": "2027-01-01"}], strict=True):
                within = [each for each in kept if point["start"] <= day(each) < after["start"]]
                expected = count(within, kind, by, flavour.removeprefix("."))
                assert point["value"] == expected, (key, flavour, point)
    (rate,) = await points("email.click_to_open", **{"from": "2025-01-01"})
    clicked, opened = count(kept, "click", pair), count(kept, "open", pair)
    assert (rate["numerator"], rate["denominator"], rate["value"]) == (clicked, opened, 100 * clicked / opened)


def day(event: Told) -> str:
    return datetime.fromtimestamp(event["timestamp"], BERLIN).date().isoformat()


async def test_what_was_known_at_an_instant_can_be_asked_for_as_far_as_events_are_kept(
    sendgrid: Sender, points: Read, metrics: httpx.AsyncClient, clock: Clock
) -> None:
    events = once(random_events(random.Random(7), 120, []))
    known = []
    for place in range(0, len(events), 40):
        await sendgrid.tell(*events[place : place + 40])
        known.append((clock.now, events[: place + 40]))
        clock.now += timedelta(hours=1)
    for at, some in known:
        for asked in (at, at + timedelta(minutes=59)):
            (point,) = await points("email.unique_opens", **{"from": "2025-01-01"}, as_of=asked.isoformat())
            assert point["value"] == count(some, "open", pair)
    span = {"from": "2025-01-01", "to": "2027-01-01", "grain": "total"}
    answer = await metrics.get("/v1/metrics/email.opens/series", params={**span, "as_of": known[0][0].isoformat()})
    assert answer.json()["watermark"] == answer.json()["as_of"] == known[0][0].isoformat().replace("+00:00", "Z")
    for wrong, code in (
        ({"as_of": (clock.now + timedelta(seconds=1)).isoformat()}, "in_the_future"),
        ({"as_of": clock.now.isoformat(), "from": "2022-01-01"}, "beyond_retention"),
        ({"group_by": "url", "from": "2022-01-01"}, "beyond_retention"),
    ):
        refused = await metrics.get("/v1/metrics/email.opens/series", params={**span, **wrong})
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, code)


async def test_every_dimension_splits_the_same_events(
    open_sendgrid: Open, campaign: Campaigns, metrics: httpx.AsyncClient
) -> None:
    one, two = await open_sendgrid(), await open_sendgrid()
    spring = await campaign("spring")
    events = once(random_events(random.Random(3), 300, ["spring"]))
    await one.tell(*events[:150])
    await two.tell(*events[150:])
    split: dict[str, Key] = {
        "message_id": lambda each: each["sg_message_id"], "channel": lambda _: "email",
        "url": lambda each: each["url"],
        "campaign_id": lambda each: spring if "spring" in each["category"] else None,
        "source_id": lambda each: str(one.source_id if each in events[:150] else two.source_id),
    }  # fmt: skip
    for key, (kind, by) in EXPECTED.items():
        for dimension, group in split.items():
            found: dict[object, int] = {}
            cursor: str | None = None
            while cursor is not None or not found:
                asked: Told = {**YEAR, "from": "2025-01-01", "grain": "total", "group_by": dimension, "limit": 2}
                answer = (await metrics.get(
                    f"/v1/metrics/{key}/series", params=asked | ({"cursor": cursor} if cursor else {})
                )).json()  # fmt: skip
                page = {each["group"][dimension]: each["points"][0]["value"] for each in answer["series"]}
                assert len(page) <= 2
                assert not page.keys() & found.keys()
                found |= page
                cursor = answer["next_cursor"]
            expected = {name: count([each for each in events if group(each) == name], kind, by) for name in found}
            # A link is kept of every event that names one, as SendGrid's here do.
            assert found == expected, (key, dimension)
            if by is whole:
                assert sum(found.values()) == count(events, kind, by)
    link = {"url": "https://example.com/1", "message_id": ["m1", "m2"]}
    (series,) = (await metrics.get(
        "/v1/metrics/email.total_clicks/series", params={**YEAR, "from": "2025-01-01", "grain": "total", **link}
    )).json()["series"]  # fmt: skip
    narrowed = [each for each in events if each["url"] == link["url"] and each["sg_message_id"] in ("m1", "m2")]
    assert series["points"][0]["value"] == count(narrowed, "click", whole)


async def test_a_rebuild_gives_equal_numbers_and_is_an_administrator_s_job(
    sendgrid: Sender, metrics: httpx.AsyncClient, metrics_app: FastAPI, workspace: Workspace, connect: Connect
) -> None:
    await sendgrid.tell(*random_events(random.Random(4), 200, []))
    await COUNT_EVENTS.run(metrics_app)
    before = await roll_ups(metrics_app, workspace)
    assert (await connect("metrics", workspace, "manager").post("/v1/numbers/rebuild")).status_code == 403
    started = await metrics.post("/v1/numbers/rebuild")
    assert started.status_code == 202, started.text
    again = await metrics.post("/v1/numbers/rebuild")
    assert (again.status_code, again.json()["code"]) == (409, "under_way")

    async def state() -> str:
        (job,) = (await metrics.get("/v1/jobs", params={"id": started.json()["job_id"]})).json()["items"]
        return str(job["state"])

    assert await state() == "waiting"
    await metrics_app.state.runner.run_due()
    assert await state() == "done"
    assert await roll_ups(metrics_app, workspace) == before != set()
