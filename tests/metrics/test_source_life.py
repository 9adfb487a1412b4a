"""What becomes of a source once it is made: edited, with new secrets or a new URL, paused, ended; and its health."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from chassis.fields import new_id
from chassis.testing import START, Clock, statements
from services.metrics.source.store import REMEMBER_SECONDS, SourceBook
from tests.metrics.conftest import Account, Campaigns, Play
from tests.metrics.playing import JUNE, PLAYERS, Player
from tests.parts import Connect, Workspace


def said(account: Account, number: int = 0, tag: str = "spring") -> Any:
    return account.player.many([account.player.one(f"p{number}@example.com", JUNE + number, f"m{number}", tag)])[0]


async def as_player(account: Account, player: Player) -> int:
    other = Account(player, account.source, account.http, account.clock)
    return (await other.say(said(other))).status_code


def path(account: Account, verb: str = "") -> str:
    return f"/v1/sources/{account.source['id']}{verb}"


async def test_two_secrets_live_until_the_older_one_ends(
    account: Play, metrics: httpx.AsyncClient, clock: Clock
) -> None:
    at = await account("customerio")
    players = [PLAYERS["customerio"](number) for number in range(3)]
    rotate = {"credentials": players[1].credentials(), "keep_old_minutes": 60}
    answer = await metrics.post(path(at, "/rotate"), json=rotate)
    assert answer.status_code == 200, answer.text
    assert answer.json()["old_credentials_end_at"] == "2026-06-15T13:00:00Z"
    assert [await as_player(at, each) for each in players] == [200, 200, 403]
    clock.forward(minutes=59)
    assert [await as_player(at, each) for each in players] == [200, 200, 403]
    clock.forward(minutes=1)
    assert [await as_player(at, each) for each in players] == [403, 200, 403]
    # A third ends the first at once, and with 0 minutes the second too.
    await metrics.post(path(at, "/rotate"), json={"credentials": players[2].credentials()})
    assert [await as_player(at, each) for each in players] == [403, 200, 200]
    await metrics.post(path(at, "/rotate"), json={"credentials": players[0].credentials(), "keep_old_minutes": 0})
    assert [await as_player(at, each) for each in players] == [200, 403, 403]
    for secret in (player.secret() for player in players):
        assert secret not in (await metrics.get(path(at))).text


async def test_new_credentials_are_checked_as_the_first_were(account: Play, metrics: httpx.AsyncClient) -> None:
    at = await account("postmark")
    for credentials, field in (
        ({}, "credentials.username"), ({"username": "a:b", "password": "x" * 9}, "credentials.username"),
        ({"username": "a", "password": "short"}, "credentials.password"),
        ({"username": "a", "password": "x" * 9, "signing_key": "y" * 9}, "credentials.signing_key"),
    ):  # fmt: skip
        answer = await metrics.post(path(at, "/rotate"), json={"credentials": credentials})
        assert answer.status_code == 422
        assert field in [error["field"] for error in answer.json()["errors"]]
    too_long = {"credentials": at.player.credentials(), "keep_old_minutes": 10_081}
    assert (await metrics.post(path(at, "/rotate"), json=too_long)).status_code == 422


async def test_a_source_may_await_its_secret(metrics: httpx.AsyncClient, connect: Connect, clock: Clock) -> None:
    answer = await metrics.post("/v1/sources", json={"platform": "mandrill", "name": "Mandrill"})
    assert answer.status_code == 201, answer.text
    at = Account(PLAYERS["mandrill"](), answer.json(), connect("metrics"), clock)
    assert at.source["state"] == "awaiting"
    assert (await at.http.head(at.url)).status_code == 200
    assert (await at.say(said(at))).status_code == 403
    assert (await metrics.post(path(at, "/pause"))).json()["code"] == "source_awaiting"
    assert (await metrics.post(path(at, "/resume"))).json()["code"] == "source_awaiting"
    rotated = await metrics.post(path(at, "/rotate"), json={"credentials": at.player.credentials()})
    assert (rotated.json()["state"], rotated.json()["old_credentials_end_at"]) == ("active", None)
    assert (await at.say(said(at))).status_code == 200


async def test_a_new_url_works_beside_the_old_one_for_a_while(
    account: Play, metrics: httpx.AsyncClient, clock: Clock
) -> None:
    at = await account("mandrill")  # which signs the URL
    answer = await metrics.post(path(at, "/readdress"), json={"keep_old_minutes": 60})
    new = Account(at.player, answer.json(), at.http, clock)
    assert new.url != at.url
    assert (await new.say(said(new, 1))).status_code == 200
    assert (await at.say(said(at, 2))).status_code == 200
    assert (await new.send(at.player.pack(said(at, 3), at.url, clock.now))).status_code == 403
    clock.forward(minutes=60)
    assert (await at.say(said(at, 4))).status_code == 404
    assert (await new.say(said(new, 5))).status_code == 200
    ended = (await metrics.post(path(at, "/readdress"), json={"keep_old_minutes": 0})).json()
    assert ended["old_token_ends_at"] is None
    assert (await new.say(said(new, 6))).status_code == 404
    assert "webhook_url" not in (await metrics.get(path(at))).json()


async def test_a_source_is_edited_at_the_version_that_was_seen(account: Play, metrics: httpx.AsyncClient) -> None:
    at = await account("brevo")
    assert (await metrics.patch(path(at), json={"name": "x"})).status_code == 428
    changed = await metrics.patch(path(at), json={"name": "Offers"}, headers={"If-Match": '"1"'})
    assert (changed.json()["name"], changed.json()["version"]) == ("Offers", 2)
    assert (await metrics.patch(path(at), json={"name": "y"}, headers={"If-Match": '"1"'})).status_code == 412
    # What platforms post is no edit.
    assert (await at.say(said(at))).status_code == 200
    assert (await metrics.get(path(at))).json()["version"] == 2
    refused = await metrics.patch(path(at), json={"credentials": {}}, headers={"If-Match": "*"})
    assert refused.json()["errors"][0]["field"] == "credentials"


async def test_the_ends_of_a_source_are_told_apart(account: Play, metrics: httpx.AsyncClient) -> None:
    at = await account("brevo")
    for verb, state, times in (("pause", "paused", 2), ("resume", "active", 2), ("pause", "paused", 1)):
        for _ in range(times):
            assert (await metrics.post(path(at, f"/{verb}"))).json()["state"] == state
    # A paused one stays so under a new secret.
    rotated = await metrics.post(path(at, "/rotate"), json={"credentials": at.player.credentials()})
    assert rotated.json()["state"] == "paused"
    for _ in range(2):
        assert (await metrics.post(path(at, "/revoke"))).json()["state"] == "revoked"
    for verb, body in (
        ("/pause", None), ("/resume", None), ("/rotate", {"credentials": at.player.credentials()}), ("/readdress", {}),
    ):  # fmt: skip
        answer = await metrics.post(path(at, verb), json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "source_revoked")
    edit = await metrics.patch(path(at), json={"name": "x"}, headers={"If-Match": "*"})
    assert edit.json()["code"] == "source_revoked"
    assert (await metrics.get("/v1/sources", params={"state": "revoked"})).json()["items"][0]["id"] == at.source["id"]
    assert (await metrics.get("/v1/sources", params={"state": "active"})).json()["items"] == []


async def test_a_change_is_followed_within_five_seconds_by_every_process(
    account: Play, metrics: httpx.AsyncClient, metrics_app: FastAPI
) -> None:
    at = await account("brevo")
    token, now = at.url.rpartition("/")[2], 0.0
    elsewhere = SourceBook(metrics_app.state.database, metrics_app.state.sealer, lambda: now)
    assert (await elsewhere.find(token, START)).state == "active"
    await metrics.post(path(at, "/revoke"))
    now = REMEMBER_SECONDS - 0.01
    assert (await elsewhere.find(token, START)).state == "active"  # not asked again before
    now = REMEMBER_SECONDS + 0.01
    assert (await elsewhere.find(token, START)).state == "revoked"
    assert REMEMBER_SECONDS <= 5
    assert (await metrics_app.state.sources.find(token, START)).state == "revoked"  # where it was changed, at once


async def test_a_source_is_looked_up_once_for_all_who_post_at_once(account: Play, metrics_app: FastAPI) -> None:
    at = await account("brevo")
    book = SourceBook(metrics_app.state.database, metrics_app.state.sealer)
    with statements(metrics_app.state.database) as seen:
        found = await asyncio.gather(*(book.find(at.url.rpartition("/")[2], START) for _ in range(50)))
    assert len(set(map(id, found))) == 1
    assert len([each for each in seen if "FROM source" in each]) == 1


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("mailchimp", ["utm_campaign"]), ("mailchimp", ["data.x"]), ("hubspot", ["data.x"]), ("brevo", ["tag"]),
        ("brevo", ["data."]), ("brevo", ["data"]), ("brevo", ["tags", "tags"]), ("brevo", []), ("brevo", ["x"] * 11),
        ("brevo", ["utm_campaign.x"]), ("brevo", ["data." + "x" * 101]), ("brevo", ["data.\0"]),
    ],
)  # fmt: skip
async def test_a_mapping_is_checked_when_it_is_saved(
    account: Play, metrics: httpx.AsyncClient, name: str, wrong: list[str]
) -> None:
    create = {"platform": name, "name": "x", "credentials": PLAYERS[name]().credentials(), "campaign_by": wrong}
    answer = await metrics.post("/v1/sources", json=create)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith("campaign_by")
    at = await account(name)
    edit = await metrics.patch(path(at), json={"campaign_by": wrong}, headers={"If-Match": "*"})
    assert edit.status_code == 422
    assert (await metrics.get(path(at))).json()["campaign_by"] == ["tags"]


async def test_the_first_field_that_names_a_campaign_decides(
    account: Play, metrics: httpx.AsyncClient, campaign: Campaigns
) -> None:
    spring, autumn = await campaign("spring"), await campaign("autumn")
    at = await account("sendgrid", campaign_by=["data.topic", "utm_campaign", "tags"])
    base = {"event": "click", "email": "ann@example.com", "category": ["spring"]}
    found = [
        {**base, "timestamp": JUNE, "topic": "autumn"},
        {**base, "timestamp": JUNE + 1, "topic": "nobody's", "url": "https://a.example/?utm_campaign=autumn"},
        {**base, "timestamp": JUNE + 2},
    ]
    assert (await at.say(found)).json()["received"] == 3
    listed = (await metrics.get("/v1/events", params={"sort": "occurred_at"})).json()["items"]
    assert [event["campaign_id"] for event in listed] == [autumn, autumn, spring]
    await metrics.patch(path(at), json={"campaign_by": ["tags"]}, headers={"If-Match": "*"})
    assert (await at.say([{**found[0], "timestamp": JUNE + 3}])).json()["received"] == 1
    listed = (await metrics.get("/v1/events", params={"sort": "-occurred_at", "limit": 1})).json()["items"]
    assert [event["campaign_id"] for event in listed] == [spring]


async def test_health_says_what_became_of_what_came(
    account: Play, metrics: httpx.AsyncClient, metrics_app: FastAPI, campaign: Campaigns, clock: Clock
) -> None:
    await campaign("spring")
    at, quiet = await account("brevo"), await account("brevo", 1)
    batch = [said(at, n)[0] for n in range(5)] + [said(at, 9, tag="nobody's")[0]]
    for _ in range(3):
        assert (await at.say(batch)).status_code == 200
    await at.say([1, "x"])
    for _ in range(4):
        assert await as_player(at, quiet.player) == 401
    await metrics_app.state.intake.tell()
    health = (await metrics.get(path(at, "/health"))).json()
    assert health == {
        "source_id": at.source["id"], "state": "active", "last_event_at": "2026-06-15T12:00:00Z", "hours": 24,
        "events_per_hour": 0.75, "received": 18, "duplicates": 12, "unmapped": 1, "quarantined": 2, "refused": 4,
    }  # fmt: skip
    clock.forward(hours=20)
    later = (await metrics.get(path(at, "/health"), params={"hours": 10})).json()
    assert (later["received"], later["refused"], later["last_event_at"]) == (0, 0, "2026-06-15T12:00:00Z")
    assert (await metrics.get(path(at, "/health"), params={"hours": 48})).json()["received"] == 18
    ids = [quiet.source["id"], at.source["id"], str(new_id())]
    several = (await metrics.get("/v1/source-health", params={"source_id": ids, "hours": 48})).json()["items"]
    assert {each["source_id"]: each["received"] for each in several} == {ids[0]: 0, ids[1]: 18}
    assert (await metrics.get(f"/v1/sources/{new_id()}/health")).status_code == 404


async def test_a_refusal_asks_nothing_of_the_database(
    account: Play, metrics_app: FastAPI, workspace: Workspace
) -> None:
    at = await account("brevo")
    await as_player(at, at.player)
    await metrics_app.state.intake.tell()
    with statements(metrics_app.state.database) as seen:
        for _ in range(50):
            assert await as_player(at, PLAYERS["brevo"](1)) == 401
    assert seen == []
    with statements(metrics_app.state.database) as seen:
        await metrics_app.state.intake.tell()
    assert len([each for each in seen if "INSERT INTO intake" in each]) == 1


async def test_what_can_not_be_told_now_is_told_later(
    account: Play, metrics: httpx.AsyncClient, metrics_app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, intake = await account("brevo"), metrics_app.state.intake
    await at.say(said(at))

    class Away:
        def tenant(self, _: object) -> Any:
            raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(intake, "_database", Away())
        await intake.tell()
    assert (await metrics.get(path(at, "/health"))).json()["received"] == 0
    await intake.tell()
    await intake.tell()
    assert (await metrics.get(path(at, "/health"))).json()["received"] == 1
