"""Who acted, by what events say together, and whom it keeps one from writing to."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import httpx
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from chassis.testing import Clock
from services.metrics.event.rules import EventType, EventVerdict
from services.metrics.judging.actions import judge_events
from services.metrics.judging.rules import (
    BESIDE_HONEYPOT,
    BESIDE_SCANNER,
    BULK_UNSUBSCRIBE,
    BURST_OF_CLICKS,
    SAME_SECOND_LINKS,
    Act,
    judge_together,
)
from services.metrics.rollup.holding import seize_numbers
from services.metrics.rollup.rules import differing
from services.metrics.rollup.store import rebuild, tallies
from services.metrics.suppression.rules import Known, Sign, SuppressionState, after
from tests.metrics.conftest import Campaigns, Open, Read, Sender
from tests.parts import Workspace

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
NAMES = UUID(int=7)


def act(
    kind: str = "clicked", at: float = 0, url: str | None = "https://a.example", who: str = "ann", **fields: Any
) -> Act:
    found = {
        "id": uuid5(NAMES, f"{kind}{at}{url}{who}{fields}"), "type": EventType(kind), "recipient_id": uuid5(NAMES, who),
        "domain": "example.com", "message_id": "m1", "url": url, "at": NOON + timedelta(seconds=at),
        "verdict": EventVerdict.HUMAN, "reasons": (),
    }  # fmt: skip
    return Act(**{**found, **fields})


ACTS = st.lists(
    st.builds(
        act, st.sampled_from(["clicked", "clicked", "unsubscribed"]), st.integers(0, 400).map(lambda each: each / 4),
        st.sampled_from(["https://a.example", "https://b.example"]), st.sampled_from("abcdefg"),
        reasons=st.sampled_from([(), (), ("honeypot_link",), ("judged_by_hand",)]),
        domain=st.sampled_from(["example.com", "gmail.com"]),
    ),
    max_size=40,
)  # fmt: skip


@given(ACTS, st.randoms(use_true_random=False))
def test_the_order_of_events_says_nothing_and_more_of_them_only_add(acts: list[Act], rng: random.Random) -> None:
    whole = judge_together(acts)
    mixed = rng.sample(acts, len(acts))
    assert judge_together([*mixed, *mixed]) == whole
    for each, why in judge_together(mixed[: len(mixed) // 2]).items():
        assert set(why) <= set(whole[each])
    assert not {each.id for each in acts if each.reasons} & whole.keys()


def test_a_person_s_clicks_are_a_person_s() -> None:
    calm = [act(at=second * 3, url=f"https://{second}.example") for second in range(4)]
    assert judge_together([*calm, act("unsubscribed", 30, None)]) == {}
    twice = [act(at=0), act(at=0.5)]
    assert judge_together(twice) == {}
    others = [act(at=0, who="ann"), act(at=0.2, who="bob", url="https://b.example")]
    assert judge_together(others) == {}


def test_what_no_person_does_is_a_machine_s() -> None:
    links = [act(at=0), act(at=0.9, url="https://b.example"), act("unsubscribed", 40, None)]
    assert [judge_together(links)[each.id] for each in links] == [
        (SAME_SECOND_LINKS,), (SAME_SECOND_LINKS,), (BESIDE_SCANNER,),
    ]  # fmt: skip
    burst = [act(at=second * 2) for second in range(5)]
    assert set(judge_together(burst).values()) == {(BURST_OF_CLICKS,)}
    trapped = [act(reasons=("honeypot_link",), verdict=EventVerdict.BOT), act(at=59), act(at=61)]
    assert judge_together(trapped) == {trapped[1].id: (BESIDE_HONEYPOT,)}
    leaving = [act("unsubscribed", second, None, who=str(second)) for second in range(5)]
    assert set(judge_together(leaving).values()) == {(BULK_UNSUBSCRIBE,)}
    assert judge_together([each._replace(domain="gmail.com") for each in leaving]) == {}


SIGNS = st.lists(
    st.builds(
        Sign, st.builds(UUID, int=st.integers(0, 99)), st.just(NAMES), st.just(b"a"),
        st.sampled_from([EventType.UNSUBSCRIBED, EventType.SUBSCRIBED]),
        st.integers(0, 9).map(lambda each: NOON + timedelta(hours=each)),
        st.sampled_from([EventVerdict.HUMAN, EventVerdict.BOT]),
    ),
    min_size=1, max_size=12, unique_by=lambda sign: sign.at,
)  # fmt: skip


@given(SIGNS, st.randoms(use_true_random=False))
def test_whom_not_to_write_to_is_the_same_in_whichever_order_it_is_told(signs: list[Sign], rng: random.Random) -> None:
    def known(told: list[Sign]) -> Known:
        found = Known()
        for sign in told:
            found = after(found, sign)
        return found

    whole = known(signs)
    assert known(rng.sample(signs, len(signs))) == whole
    people = [sign for sign in signs if sign.verdict is EventVerdict.HUMAN]
    last = max(people, key=lambda sign: sign.at, default=None)
    if last and last.type is EventType.UNSUBSCRIBED:
        assert whole.state() is SuppressionState.ACTIVE


def told(kind: str, second: float, who: str = "ann@firm.example", **fields: Any) -> dict[str, Any]:
    at = NOON + timedelta(seconds=second)
    return {
        "type": kind,
        "recipient": who,
        "message_id": "m1",
        "occurred_at": at.isoformat(),
        "tags": ["spring"],
        **fields,
    }


async def verdicts(metrics: httpx.AsyncClient) -> dict[tuple[str, str | None], tuple[str, list[str]]]:
    items = (await metrics.get("/v1/events", params={"limit": 200})).json()["items"]
    return {(each["type"], each["url"]): (each["verdict"], each["reasons"]) for each in items}


async def test_a_scanner_s_clicks_and_its_unsubscribe_are_found_across_posts_and_numbers_follow(
    metrics: httpx.AsyncClient, standard: Sender, campaign: Campaigns, points: Read, metrics_app: FastAPI
) -> None:
    spring = await campaign("spring")

    async def clicks() -> list[float]:
        keys = ("email.total_clicks", *(f"email.total_clicks.{each}" for each in ("human", "bot", "unknown")))
        return [(await points(key, campaign_id=spring))[0]["value"] for key in keys]

    await standard.tell(
        told("clicked", 0, url="https://a.example"), told("clicked", 0, "bob@firm.example", url="https://b.example")
    )
    await judge_events(metrics_app)
    assert await clicks() == [2, 2, 0, 0]
    await standard.tell(told("clicked", 0.5, url="https://unsubscribe.example"))
    await standard.tell(told("unsubscribed", 2), told("unsubscribed", 3, "bob@firm.example", url="https://x.example"))
    await judge_events(metrics_app)
    assert await clicks() == [3, 1, 2, 0]
    found = await verdicts(metrics)
    assert found["unsubscribed", None] == ("bot", [BESIDE_SCANNER])
    assert found["unsubscribed", "https://x.example"] == ("human", [])
    listed = (await metrics.get("/v1/suppressions", params={"sort": "since"})).json()["items"]
    assert [(each["address"], each["reason"], each["state"]) for each in listed] == [
        ("ann@firm.example", "unsubscribe", "held"), ("bob@firm.example", "unsubscribe", "active"),
    ]  # fmt: skip
    confirmed = await metrics.post(f"/v1/suppressions/{listed[0]['id']}/confirm")
    assert (confirmed.status_code, confirmed.json()["state"]) == (200, "active")
    lifted = await metrics.post(f"/v1/suppressions/{listed[0]['id']}/lift")
    assert lifted.json()["state"] == "lifted"
    assert (await metrics.post(f"/v1/suppressions/{listed[0]['id']}/confirm")).json()["code"] == "suppression_lifted"
    exported = await metrics.get("/v1/suppressions/export")
    assert [line.split(",")[:3] for line in exported.text.splitlines()[1:]] == [
        ["bob@firm.example", "unsubscribe", "active"]
    ]


async def test_what_moves_to_machines_leaves_the_numbers_that_counting_all_anew_gives(
    metrics: httpx.AsyncClient, standard: Sender, campaign: Campaigns, metrics_app: FastAPI, workspace: Workspace
) -> None:
    spring = await campaign("spring")
    rng = random.Random(5)
    events = {
        (kind, who, message, second): told(
            kind, second, f"{who}@firm.example", message_id=message, url=rng.choice(["https://a.example", "https://b.example"])
        )
        for kind in ("clicked", "opened", "unsubscribed") for who in "abcd" for message in ("m1", "m2")
        for second in rng.sample([0, 0.5, 3, 600, -3600 * 30, -3600 * 24 * 40], k=5)
    }  # fmt: skip
    every = [{**event, "tags": rng.choice([["spring"], []])} for event in events.values()]
    rng.shuffle(every)

    async def numbers() -> list[Any]:
        queries = [
            {"metric": f"email.{key}{by}", "from": "2026-04-01", "to": "2026-07-01", "grain": grain, "campaign_ids": of}
            for key in ("unique_clicks", "total_clicks", "unsubscribes", "unique_opens")
            for by in ("", ".human", ".bot", ".unknown") for grain in ("day", "month") for of in ([], [spring])
        ]  # fmt: skip
        answer = await metrics.post("/v1/series/query", json={"queries": queries})
        assert answer.status_code == 200, answer.text
        return [
            [(each["start"], each["value"]) for each in series["points"] if each["value"]]
            for series in answer.json()["series"]
        ]

    nothing = await numbers()
    for place in range(0, len(every), 7):
        await standard.tell(*every[place : place + 7])
        await judge_events(metrics_app)
    moved = await numbers()
    async with metrics_app.state.database.tenant(workspace.id) as session:
        await seize_numbers(session)
        before = await tallies(session)
        await rebuild(session)
        assert differing(before, await tallies(session)) == []
    assert await numbers() == moved != nothing
    assert any("bot" in str(each) for each in before)


async def test_somebody_who_knows_better_frees_what_was_held(
    metrics: httpx.AsyncClient, standard: Sender, metrics_app: FastAPI
) -> None:
    await standard.tell(told("unsubscribed", 0, machine=True), told("complained", 9, "cy@firm.example"))
    await judge_events(metrics_app)
    (event,) = [each for each in (await metrics.get("/v1/events")).json()["items"] if each["type"] == "unsubscribed"]
    (held,) = (await metrics.get("/v1/suppressions", params={"state": "held"})).json()["items"]
    assert (event["verdict"], held["event_id"]) == ("bot", event["id"])
    assert (await metrics.post(f"/v1/events/{event['id']}/judge", json={"verdict": "human"})).status_code == 200
    await judge_events(metrics_app)
    again = (await metrics.get("/v1/suppressions", params={"id": held["id"]})).json()["items"]
    assert [each["state"] for each in again] == ["active"]
    (complaint,) = (await metrics.get("/v1/suppressions", params={"reason": "complaint"})).json()["items"]
    assert (await metrics.post(f"/v1/suppressions/{complaint['id']}/lift")).json()["code"] == "complained"


async def test_an_unsubscribe_that_turns_out_to_be_a_machine_s_is_held(
    metrics: httpx.AsyncClient, standard: Sender, metrics_app: FastAPI
) -> None:
    async def suppressed() -> list[tuple[str, str, str]]:
        items = (await metrics.get("/v1/suppressions", params={"sort": "since"})).json()["items"]
        return sorted((each["address"][:3], each["state"], each["since"][11:19]) for each in items)

    # The scanner's clicks come after; bob had unsubscribed before by himself. Each post is looked at by itself, so that
    # what it says of an act a minute away, and that of another, is said all the same.
    await standard.tell(told("unsubscribed", -9000, "bob@firm.example"))
    for second, url in ((0, None), (60, "https://a.example"), (60.9, "https://b.example")):
        for who in ("ann@firm.example", "bob@firm.example"):
            await standard.tell(told("clicked" if url else "unsubscribed", second, who, url=url))
        await judge_events(metrics_app)
        if not url:
            assert await suppressed() == [("ann", "active", "12:00:00"), ("bob", "active", "12:00:00")]
    assert await suppressed() == [("ann", "held", "12:00:00"), ("bob", "active", "09:30:00")]
    # Somebody who knows better says so of bob's own.
    items = (await metrics.get("/v1/events", params={"type": "unsubscribed"})).json()["items"]
    (own,) = [each for each in items if each["verdict"] == "human"]
    assert (await metrics.post(f"/v1/events/{own['id']}/judge", json={"verdict": "bot"})).status_code == 200
    await judge_events(metrics_app)
    assert await suppressed() == [("ann", "held", "12:00:00"), ("bob", "held", "12:00:00")]


async def test_no_rule_changes_what_somebody_has_confirmed(
    metrics: httpx.AsyncClient, standard: Sender, metrics_app: FastAPI
) -> None:
    await standard.tell(told("clicked", 0, url="https://a.example"))
    await judge_events(metrics_app)
    (event,) = (await metrics.get("/v1/events")).json()["items"]
    confirmed = await metrics.post(f"/v1/events/{event['id']}/judge", json={"verdict": "human"})
    assert (confirmed.json()["verdict"], confirmed.json()["reasons"]) == ("human", ["judged_by_hand"])
    await standard.tell(told("clicked", 0.5, url="https://b.example"))
    await judge_events(metrics_app)
    found = await verdicts(metrics)
    assert [found["clicked", f"https://{each}.example"][0] for each in "ab"] == ["human", "bot"]


async def test_a_hand_takes_back_and_puts_in_whatever_clocks_say(
    metrics: httpx.AsyncClient, standard: Sender, metrics_app: FastAPI, clock: Clock
) -> None:
    ahead = (clock.now + timedelta(hours=20)).isoformat()
    await standard.tell({**told("unsubscribed", 0), "occurred_at": ahead})
    await judge_events(metrics_app)
    (row,) = (await metrics.get("/v1/suppressions")).json()["items"]
    lifted = await metrics.post(f"/v1/suppressions/{row['id']}/lift")
    assert (lifted.status_code, lifted.json()["state"]) == (200, "lifted")
    states = []
    for _ in range(2):  # within a tick of the clock
        made = await metrics.post("/v1/suppressions", json={"address": "cy@firm.example"})
        states += [made.json()["state"]]
        states += [(await metrics.post(f"/v1/suppressions/{made.json()['id']}/lift")).json()["state"]]
    assert states == ["active", "lifted"] * 2


async def test_links_and_networks_of_a_source_s_own_give_machines_away(
    metrics: httpx.AsyncClient, open_standard: Open, metrics_app: FastAPI
) -> None:
    sender = await open_standard()
    source = (await metrics.get(f"/v1/sources/{sender.source_id}")).json()
    wrong = {"bot_networks": ["192.0.2.0/24", "nowhere"]}
    refused = await metrics.patch(f"/v1/sources/{source['id']}", json=wrong, headers={"If-Match": "*"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "bot_networks.1")
    traps = {"bot_networks": ["192.0.2.0/24"], "honeypots": ["https://trap.example"]}
    assert (
        await metrics.patch(f"/v1/sources/{source['id']}", json=traps, headers={"If-Match": "*"})
    ).status_code == 200
    await sender.tell(
        told("clicked", 0, "a@firm.example", url="https://a.example", ip="192.0.2.9"),
        told("clicked", 1, "b@firm.example", url="https://trap.example"),
        told("clicked", 9, "b@firm.example", url="https://b.example"),
        told("opened", 2, "c@firm.example", user_agent="Mimecast/1.0 (scan)"),
        told("clicked", 3, "d@firm.example", url="https://d.example", ip="192.0.3.9", user_agent="Mozilla/5.0 (CUBOT)"),
        told("delivered", 4, "e@firm.example", ip="192.0.2.9"),
    )
    await judge_events(metrics_app)
    assert await verdicts(metrics) == {
        ("clicked", "https://a.example"): ("bot", ["data_centre"]),
        ("clicked", "https://trap.example"): ("bot", ["honeypot_link"]),
        ("clicked", "https://b.example"): ("bot", [BESIDE_HONEYPOT]),
        ("opened", None): ("bot", ["scanner_agent"]),
        ("clicked", "https://d.example"): ("human", []),
        ("delivered", None): ("unknown", []),
    }
