"""What each platform's posts say in our words."""

import base64
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from chassis.testing import START, Clock
from services.metrics.event.rules import EventType, ReadEvent, Reading
from services.metrics.source.platforms import PLATFORMS
from services.metrics.source.rules import Labels, PlatformName
from services.metrics.source.store import forget
from tests.metrics.conftest import Account, Campaigns, Play, Read, Shelf, rows
from tests.metrics.playing import (
    JUNE,
    JUNE_ISO,
    PLAYERS,
    URL,
    BasicPlayer,
    Json,
    MailgunPlayer,
    MandrillPlayer,
    Sent,
    SesPlayer,
)
from tests.parts import Workspace

EVERY = sorted(PLAYERS)
AT = datetime.fromtimestamp(JUNE, UTC)


def read(name: str, payload: Json, labels: Labels | None = None, at: datetime = START) -> Reading:
    player = PLAYERS[name]()
    return received(name, player.pack(payload, URL, at), labels, at)


def received(name: str, sent: Sent, labels: Labels | None = None, at: datetime = START) -> Reading:
    player, platform = PLAYERS[name](), PLATFORMS[PlatformName(name)]
    delivery = sent.to(URL, at, player.certificate)
    assert platform.verify(player.credentials(), delivery)
    return platform.read(delivery, labels or Labels())


def events(reading: Reading) -> list[ReadEvent]:
    assert reading.unreadable == []
    return reading.events


def only(reading: Reading) -> ReadEvent:
    (event,) = events(reading)
    return event


def told(event: ReadEvent) -> tuple[Any, ...]:
    return (
        event.type.value, event.recipient, event.message_id, event.url, event.tags, event.verdict.value, event.reasons,
    )  # fmt: skip


def test_every_platform_is_played() -> None:
    assert PLAYERS.keys() == {each.value for each in PlatformName} == set(PLATFORMS)


NO_PERSON = {"hubspot"}
KINDS = {"mailchimp": "unsubscribed", "hubspot": "unknown"}


@pytest.mark.parametrize("name", EVERY)
def test_an_event_says_what_and_who_and_when_and_of_which_campaign(name: str) -> None:
    event = only(read(name, PLAYERS[name]().many([PLAYERS[name]().one("Ann@Example.com ", JUNE, "m-1", "Spring")])[0]))
    assert event.occurred_at == AT
    assert event.type.value == KINDS.get(name, "opened")
    if name not in NO_PERSON:
        assert (event.recipient, event.tags) == ("ann@example.com", ("spring",))
    if name not in ("mailchimp", "hubspot"):
        assert event.message_id == "m-1"


def mailgun(**fields: Any) -> Json:
    return {"timestamp": JUNE + 0.25, "id": "x", "recipient": "ann@example.com", **fields}


def ses(kind: str, name: str, **fields: Any) -> Json:
    mail = {"timestamp": JUNE_ISO, "messageId": "m-1", "destination": ["ann@example.com"]}
    return {"eventType": kind, "mail": mail, name: fields}


def topics(before: str, after: str) -> Json:
    """What somebody had chosen, and what they choose now."""
    return {
        f"{when}TopicPreferences": {
            "unsubscribeAll": False, "topicSubscriptionStatus": [{"topicName": "x", "subscriptionStatus": status}],
        } for when, status in (("old", before), ("new", after))
    }  # fmt: skip


def spark(kind: str, group: str = "message_event", **fields: Any) -> Json:
    said = {"type": kind, "event_id": kind, "timestamp": JUNE, "rcpt_to": "ann@example.com", "message_id": "m-1"}
    return [{"msys": {group: {**said, **fields}}}]


def postmark(kind: str, time: str, **fields: Any) -> Json:
    return {"RecordType": kind, "MessageID": "m-1", "Recipient": "ann@example.com", time: JUNE_ISO, **fields}


def chimp(kind: str, **fields: str) -> Json:
    said = {f"data[{name}]": value for name, value in {"email": "ann@example.com", **fields}.items()}
    return {"type": kind, "fired_at": "2026-06-01 12:00:00", **said}


def resend(kind: str, **data: Any) -> Json:
    return {"type": kind, "created_at": JUNE_ISO, "data": {"email_id": "m-1", "to": ["ann@example.com"], **data}}


def klaviyo(topic: str) -> Json:
    about = {"Recipient Email Address": "ann@example.com"}
    payload = {"data": {"attributes": {"datetime": JUNE_ISO, "event_properties": about}}}
    return [{"topic": f"event:klaviyo.{topic}", "external_id": "1", "payload": payload}]


def cio(metric: str, kind: str = "email", **data: Any) -> Json:
    said = {"recipient": "ann@example.com", "delivery_id": "m-1", **data}
    return {"event_id": metric, "object_type": kind, "metric": metric, "timestamp": JUNE, "data": said}


WORDS: list[tuple[str, Json, str]] = [
    *(("mailgun", mailgun(event=theirs), ours) for theirs, ours in {
        "accepted": "queued", "delivered": "delivered", "opened": "opened", "clicked": "clicked", "new": "unknown",
        "complained": "complained", "unsubscribed": "unsubscribed", "rejected": "rejected", "failed": "bounced",
    }.items()),
    ("mailgun", mailgun(event="failed", severity="temporary"), "deferred"),
    ("mailgun", mailgun(event="failed", severity="permanent", reason="bounce"), "bounced"),
    *(("mailgun", mailgun(event="failed", severity="permanent", reason=f"suppress-{theirs}"), "rejected")
      for theirs in ("bounce", "complaint", "unsubscribe")),
    *(("mandrill", [{"event": theirs, "ts": JUNE, "msg": {"email": "ann@example.com"}}], ours) for theirs, ours in {
        "send": "sent", "deferral": "deferred", "hard_bounce": "bounced", "soft_bounce": "bounced", "open": "opened",
        "click": "clicked", "spam": "complained", "unsub": "unsubscribed", "reject": "rejected", "new": "unknown",
    }.items()),
    ("mailgun", {"event": "rejected", "timestamp": JUNE, "id": "x", "tags": None, "reject": {"reason": "Sandbox"},
                 "message": {"headers": {"to": "Ann B. <Ann@example.com>", "message-id": "m-1"}}}, "rejected"),
    ("mandrill", [{"type": "whitelist", "action": "add", "ts": JUNE, "entry": {"email": "ann@example.com"}}],
     "unknown"),
    ("mandrill", [{"type": "blacklist", "action": "add", "reject": {
        "email": "ann@example.com", "created_at": "2026-05-01 12:00:00", "last_event_at": "2026-06-01 12:00:00"}}],
     "unknown"),
    ("mandrill", [{"type": "blacklist", "ts": JUNE, "reject": {"email": "ann@example.com"}}], "unknown"),
    *(("mailchimp", chimp(theirs), ours) for theirs, ours in {
        "subscribe": "subscribed", "unsubscribe": "unsubscribed", "profile": "unknown", "cleaned": "bounced",
        "campaign": "unknown",
    }.items()),
    ("mailchimp", {"type": "upemail", "fired_at": "2026-06-01T12:00:00Z", "data[new_email]": "ann@example.com"},
     "unknown"),
    ("mailchimp", chimp("unsubscribe", reason="abuse"), "complained"),
    ("mailchimp", chimp("cleaned", reason="abuse"), "complained"),
    ("postmark", postmark("Delivery", "DeliveredAt"), "delivered"),
    ("postmark", postmark("Open", "ReceivedAt"), "opened"),
    ("postmark", postmark("Click", "ReceivedAt"), "clicked"),
    ("postmark", postmark("SpamComplaint", "BouncedAt"), "complained"),
    *(("postmark", postmark("Bounce", "BouncedAt", Type=theirs), ours) for theirs, ours in {
        "HardBounce": "bounced", "SoftBounce": "bounced", "Transient": "deferred", "SpamNotification": "complained",
        "AutoResponder": "unknown", "Unsubscribe": "unsubscribed", "TemplateRenderingFailed": "failed",
        "SMTPApiError": "failed", "InboundError": "unknown",
    }.items()),
    ("postmark", postmark("SubscriptionChange", "ChangedAt", SuppressSending=True), "unsubscribed"),
    ("postmark", postmark("SubscriptionChange", "ChangedAt", SuppressSending=False), "subscribed"),
    ("postmark", postmark("SubscriptionChange", "ChangedAt", SuppressSending=True, SuppressionReason="HardBounce"),
     "unknown"),
    ("postmark", postmark("Inbound", "ReceivedAt"), "unknown"),
    ("ses", ses("Send", "send"), "sent"),
    ("ses", ses("Delivery", "delivery", timestamp=JUNE_ISO, recipients=["ann@example.com"]), "delivered"),
    ("ses", ses("DeliveryDelay", "deliveryDelay", delayedRecipients=[{"emailAddress": "ann@example.com"}]), "deferred"),
    ("ses", ses("Bounce", "bounce", bouncedRecipients=[{"emailAddress": "ann@example.com"}]), "bounced"),
    ("ses", ses("Complaint", "complaint", complainedRecipients=[{"emailAddress": "ann@example.com"}]), "complained"),
    ("ses", ses("Reject", "reject", reason="Bad content"), "rejected"),
    ("ses", ses("Open", "open", timestamp=JUNE_ISO), "opened"),
    ("ses", ses("Click", "click", timestamp=JUNE_ISO, link="https://a.example"), "clicked"),
    ("ses", ses("Rendering Failure", "failure", errorMessage="x"), "failed"),
    ("ses", ses("Subscription", "subscription", newTopicPreferences={"unsubscribeAll": True}), "unsubscribed"),
    ("ses", ses("Subscription", "subscription", newTopicPreferences={"unsubscribeAll": False}), "subscribed"),
    ("ses", ses("Subscription", "subscription", **topics("OptIn", "OptOut")), "unsubscribed"),
    ("ses", ses("Subscription", "subscription", **topics("OptOut", "OptIn")), "subscribed"),
    ("ses", ses("Subscription", "subscription", **topics("OptOut", "OptOut")), "subscribed"),
    ("ses", ses("Complaint", "complaint", complaintFeedbackType="not-spam"), "unknown"),
    ("ses", ses("Complaint", "complaint", complaintSubType="OnAccountSuppressionList"), "rejected"),
    ("ses", ses("Bounce", "bounce", bounceSubType="OnAccountSuppressionList"), "rejected"),
    ("ses", ses("Bounce", "bounce", bounceSubType="Suppressed"), "bounced"),
    ("ses", {"notificationType": "Bounce", "bounce": {"bouncedRecipients": [{"emailAddress": "ann@example.com"}]},
             "mail": {"timestamp": JUNE_ISO}}, "bounced"),
    *(("brevo", {"event": theirs, "email": "ann@example.com", "ts_epoch": JUNE * 1000}, ours) for theirs, ours in {
        "request": "queued", "delivered": "delivered", "deferred": "deferred", "soft_bounce": "bounced",
        "hard_bounce": "bounced", "blocked": "rejected", "spam": "complained", "opened": "opened",
        "unique_opened": "opened", "proxy_open": "opened", "click": "clicked", "unsubscribed": "unsubscribed",
        "error": "failed", "new": "unknown",
    }.items()),
    *(("brevo", {"event": theirs, "email": "ann@example.com", "ts_event": JUNE}, ours) for theirs, ours in {
        "hardBounce": "bounced", "softBounce": "bounced", "uniqueOpened": "opened", "proxyOpen": "opened",
        "uniqueProxyOpen": "opened", "loadedByProxy": "opened", "listAddition": "subscribed",
        "invalidEmail": "bounced", "contactUpdated": "unknown",
    }.items()),
    ("brevo", {"event": "complaint", "email": "ann@example.com", "ts_event": JUNE, "ts": JUNE + 7200}, "complained"),
    ("brevo", {"event": "list_addition", "email": "ann@example.com", "list_id": [1], "date": "2026-06-01 14:00:00",
               "ts": JUNE}, "subscribed"),
    ("brevo", {"event": "contact_deleted", "email": ["ann@example.com"], "ts": JUNE}, "unknown"),
    *(("mailjet", {"event": theirs, "time": JUNE, "email": "ann@example.com"}, ours) for theirs, ours in {
        "sent": "delivered", "open": "opened", "click": "clicked", "bounce": "bounced", "blocked": "rejected",
        "spam": "complained", "unsub": "unsubscribed", "new": "unknown",
    }.items()),
    *(("sparkpost", spark(theirs), ours) for theirs, ours in {
        "injection": "queued", "delivery": "delivered", "delay": "deferred", "bounce": "bounced",
        "out_of_band": "bounced", "policy_rejection": "rejected", "spam_complaint": "complained", "new": "unknown",
    }.items()),
    *(("sparkpost", spark("bounce", bounce_class=theirs), ours) for theirs, ours in {
        "1": "bounced", "60": "unknown", "80": "subscribed", "90": "unsubscribed", "100": "unknown",
    }.items()),
    *(("sparkpost", spark(kind, "track_event"), "opened") for kind in ("open", "initial_open")),
    ("sparkpost", spark("click", "track_event"), "clicked"),
    *(("sparkpost", spark(kind, "unsubscribe_event"), "unsubscribed")
      for kind in ("list_unsubscribe", "link_unsubscribe")),
    *(("resend", resend(f"email.{theirs}"), ours) for theirs, ours in {
        "sent": "sent", "delivered": "delivered", "delivery_delayed": "deferred", "bounced": "bounced",
        "complained": "complained", "opened": "opened", "clicked": "clicked", "failed": "failed", "new": "unknown",
    }.items()),
    *(("klaviyo", klaviyo(theirs), ours) for theirs, ours in {
        "received_email": "sent", "email_delivered": "delivered", "opened_email": "opened", "clicked_email": "clicked",
        "bounced_email": "bounced", "marked_email_as_spam": "complained", "dropped_email": "rejected",
        "unsubscribed_from_email_marketing": "unsubscribed", "placed_order": "unknown",
    }.items()),
    ("klaviyo", [{**klaviyo("")[0], "topic": "event: opened_email"}], "opened"),
    *(("customerio", cio(theirs), ours) for theirs, ours in {
        "sent": "sent", "delivered": "delivered", "deferred": "deferred", "bounced": "bounced", "opened": "opened",
        "clicked": "clicked", "converted": "unknown", "unsubscribed": "unsubscribed", "spammed": "complained",
        "dropped": "rejected", "failed": "failed", "undeliverable": "rejected", "attempted": "deferred",
        "drafted": "unknown",
    }.items()),
    ("customerio", cio("sent", "sms"), "unknown"),
    ("customerio", cio("unsubscribed", "customer"), "unsubscribed"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "payload", "ours"), WORDS)
def test_each_of_its_words_has_one_of_ours(name: str, payload: Json, ours: str) -> None:
    event = only(read(name, payload))
    assert (event.type.value, event.recipient) == (ours, "ann@example.com")
    assert abs(event.occurred_at - AT) < timedelta(seconds=1)


WHOLE: list[tuple[str, Json, tuple[Any, ...]]] = [
    ("mailgun", mailgun(event="clicked", url="https://a.example/ü", tags=["Spring", "x"],
                        message={"headers": {"message-id": "m-1"}}),
     ("clicked", "ann@example.com", "m-1", "https://a.example/ü", ("spring", "x"), "human", ())),
    ("mailgun", mailgun(event="opened", **{"client-info": {"bot": "apple"}}),
     ("opened", "ann@example.com", None, None, (), "bot", ("machine_open",))),
    ("mailgun", mailgun(event="clicked", url="https://a.example", **{"client-info": {"bot": "generic"}}),
     ("clicked", "ann@example.com", None, "https://a.example", (), "bot", ("machine",))),
    ("mailgun", mailgun(event="clicked", url="https://a.example", **{"client-info": {"bot": ""}}),
     ("clicked", "ann@example.com", None, "https://a.example", (), "human", ())),
    ("brevo", {"event": "proxy_open", "email": "ann@example.com", "ts_epoch": JUNE * 1000, "tag": "one",
               "tags": ["spring"], "message-id": "<m@x>"},
     ("opened", "ann@example.com", "<m@x>", None, ("spring",), "bot", ("machine_open",))),
    ("brevo", {"event": "click", "email": "ann@example.com", "ts_epoch": JUNE * 1000, "tag": "one",
               "link": "https://a.example"},
     ("clicked", "ann@example.com", None, "https://a.example", ("one",), "human", ())),
    ("brevo", {"event": "opened", "email": "ann@example.com", "ts_epoch": JUNE * 1000, "tag": '["Spring","x"]'},
     ("opened", "ann@example.com", None, None, ("spring", "x"), "human", ())),
    ("brevo", {"event": "opened", "email": "ann@example.com", "ts_epoch": JUNE * 1000, "tag": ["Spring", "x"]},
     ("opened", "ann@example.com", None, None, ("spring", "x"), "human", ())),
    ("mailjet", {"event": "click", "time": JUNE, "email": "ann@example.com", "MessageID": 19421777835146490,
                 "url": "https://a.example", "customcampaign": "spring"},
     ("clicked", "ann@example.com", "19421777835146490", "https://a.example", ("spring",), "human", ())),
    ("sparkpost",
     spark("click", "track_event", target_link_url="https://a.example", campaign_id="spring", rcpt_tags=["b"]),
     ("clicked", "ann@example.com", "m-1", "https://a.example", ("spring", "b"), "human", ())),
    ("sparkpost", spark("open", "track_event", is_prefetched=True),
     ("opened", "ann@example.com", "m-1", None, (), "bot", ("machine_open",))),
    ("resend",
     resend("email.clicked", click={"link": "https://a.example"}, tags=[{"name": "campaign", "value": "spring"}]),
     ("clicked", "ann@example.com", "m-1", "https://a.example", ("spring",), "human", ())),
    ("resend", resend("email.opened", to=["ann@example.com", "bo@example.com"]),
     ("opened", None, "m-1", None, (), "human", ())),
    ("resend", resend("email.opened", cc=["bo@example.com"]), ("opened", None, "m-1", None, (), "human", ())),
    ("resend", resend("email.opened", cc=[], bcc=None),
     ("opened", "ann@example.com", "m-1", None, (), "human", ())),
    ("postmark", postmark("Click", "ReceivedAt", OriginalLink="https://a.example", Tag="spring"),
     ("clicked", "ann@example.com", "m-1", "https://a.example", ("spring",), "human", ())),
    ("ses", ses("Click", "click", timestamp=JUNE_ISO, link="https://a.example"),
     ("clicked", "ann@example.com", "m-1", "https://a.example", (), "human", ())),
    ("customerio", cio("clicked", href="https://a.example", campaign_id=7, broadcast_id=9),
     ("clicked", "ann@example.com", "m-1", "https://a.example", ("7", "9"), "human", ())),
    ("customerio", cio("opened", prefetched=True),
     ("opened", "ann@example.com", "m-1", None, (), "bot", ("machine_open",))),
    ("resend", resend("email.clicked", click={"link": "https://a.example", "userAgent": "Slackbot 1.0"}),
     ("clicked", "ann@example.com", "m-1", "https://a.example", (), "bot", ("scanner_agent",))),
    ("brevo", {"event": "click", "email": "ann@example.com", "ts_epoch": JUNE * 1000, "user_agent": "curl/8.0"},
     ("clicked", "ann@example.com", None, None, (), "bot", ("scanner_agent",))),
    ("sendgrid", [{"event": "account_status_change", "type": "compliance_suspend", "timestamp": JUNE,
                   "sg_event_id": "x"}],
     ("unknown", None, None, None, (), "unknown", ())),
    ("hubspot", [{"eventId": 1, "subscriptionId": 2, "occurredAt": JUNE * 1000, "eventType": "deal.creation",
                  "objectId": 3}],
     ("unknown", None, "deal.creation/3", None, (), "unknown", ())),
    ("hubspot", [{"eventId": 1, "subscriptionId": 2, "occurredAt": JUNE * 1000, "subscriptionType": "deal.creation",
                  "objectId": 3}],
     ("unknown", None, "deal.creation/3", None, (), "unknown", ())),
]  # fmt: skip


@pytest.mark.parametrize(("name", "payload", "expected"), WHOLE)
def test_all_that_is_kept_of_an_event(name: str, payload: Json, expected: tuple[Any, ...]) -> None:
    assert told(only(read(name, payload))) == expected


TIMES: list[tuple[str, str, Any]] = [
    *(("sendgrid", "timestamp", value) for value in (JUNE, float(JUNE), str(JUNE), f"{JUNE}.0")),
    *(("mailgun", "timestamp", value) for value in (JUNE, float(JUNE), str(JUNE), f"{JUNE}.000000")),
    *(("mandrill", "ts", value) for value in (JUNE, float(JUNE), str(JUNE))),
    *(("mailjet", "time", value) for value in (JUNE, float(JUNE), str(JUNE))),
    # In seconds as in the examples of its documentation.
    *(("brevo", "ts_epoch", value) for value in (JUNE * 1000, float(JUNE * 1000), str(JUNE * 1000), JUNE)),
    *(("customerio", "timestamp", value) for value in (JUNE, float(JUNE), str(JUNE))),
    *(("hubspot", "occurredAt", value) for value in (JUNE * 1000, str(JUNE * 1000))),
    *(("postmark", "ReceivedAt", value) for value in (
        "2026-06-01T12:00:00Z", "2026-06-01T12:00:00.0000000Z", "2026-06-01T08:00:00.0000000-04:00",
        "2026-06-01T14:00:00+02:00", "2026-06-01T14:00:00.000+0200",
    )),
    *(("standard", "occurred_at", value) for value in ("2026-06-01T12:00:00.000000000Z", "2026-06-01T14:00:00+0200")),
    *(("resend", "created_at", value) for value in ("2026-06-01T12:00:00.000Z", "2026-06-01 12:00:00.000000+00")),
    *(("standard", "occurred_at", value) for value in ("2026-06-01T12:00:00Z", "2026-06-01T14:00:00+02:00")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "place", "value"), TIMES)
def test_a_time_is_the_same_however_it_is_written(name: str, place: str, value: Any) -> None:
    player = PLAYERS[name]()
    plain = player.one("ann@example.com", JUNE, "m-1", "spring")
    one, other = (only(read(name, player.many([each])[0])) for each in (plain, {**plain, place: value}))
    assert other.occurred_at == AT
    if name != "resend":  # whose posts have ids of their own
        assert one.key == other.key


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("wrong", [True, "soon", "", None, [], {}, 10**30, -1, "nan", "2026-06-01T12:00:00", 946684799])
def test_a_time_that_is_none_is_named(name: str, wrong: Any) -> None:
    player = PLAYERS[name]()
    event = player.one("ann@example.com", JUNE, "m-1", "spring")
    at = {
        "sendgrid": "timestamp", "mailgun": "timestamp", "mandrill": "ts", "mailjet": "time", "brevo": "ts_epoch",
        "customerio": "timestamp", "hubspot": "occurredAt", "postmark": "ReceivedAt", "resend": "created_at",
        "standard": "occurred_at",
    }.get(name)  # fmt: skip
    if at is None:
        return
    reading = read(name, player.many([{**event, at: wrong}])[0])
    assert reading.events == []
    assert len(reading.unreadable) == 1


@pytest.mark.parametrize("name", ["sendgrid", "mandrill", "brevo", "mailjet", "standard", "sparkpost", "hubspot"])
def test_one_stands_for_an_array_of_one_and_an_empty_one_for_nothing(name: str) -> None:
    event = PLAYERS[name]().one("ann@example.com", JUNE, "m-1", "spring")
    assert only(read(name, event)) == only(read(name, [event]))
    assert read(name, []) == Reading([], [])


@pytest.mark.parametrize("ping", ['{"msys": {}}', '{"msys":null}', '{\n "msys" : {' + " " * 60 + "}\n}"])
def test_an_empty_sparkpost_event_asks_whether_anybody_is_there(ping: str) -> None:
    for body in (f"[{ping}]", ping, f"[{ping}, {ping}]"):
        assert received("sparkpost", PLAYERS["sparkpost"]().sign(body.encode(), URL, START)) == Reading([], [])
    beside = json.dumps(spark("open", "track_event")[0])
    assert only(received("sparkpost", PLAYERS["sparkpost"]().sign(f"[{ping}, {beside}]".encode(), URL, START)))
    assert read("sparkpost", [{"msys": {}, "x": 1}]).quarantined == 1


# Where each platform writes what only describes an event.
DESCRIBING: list[tuple[str, str]] = [
    *(("sendgrid", each) for each in ("url", "useragent", "ip", "category", "sg_machine_open")),
    *(("mailgun", each) for each in ("url", "tags", "ip", "client-info", "user-variables", "client-info.bot",
                                     "client-info.user-agent", "reason")),
    *(("mandrill", each) for each in ("url", "ip", "user_agent", "msg.tags", "msg.metadata")),
    *(("postmark", each) for each in ("Tag", "OriginalLink", "UserAgent", "Geo", "Geo.IP", "Metadata")),
    *(("brevo", each) for each in ("link", "URL", "tags", "tag", "user_agent", "X-Mailin-custom", "reason", "camp_id")),
    *(("mailjet", each) for each in ("url", "customcampaign", "CustomID", "Payload", "ip", "agent")),
    *(("sparkpost", f"msys.track_event.{each}") for each in (
        "target_link_url", "campaign_id", "rcpt_tags", "rcpt_meta", "ip_address", "user_agent")),
    *(("resend", f"data.{each}") for each in ("tags", "tags.x", "open", "open.ipAddress", "open.userAgent",
                                              "click.link")),
    *(("ses", each) for each in ("open.link", "open.ipAddress", "open.userAgent", "mail.tags", "mail.tags.x",
                                 "mail.headers")),
    *(("klaviyo", f"payload.data.attributes.event_properties.{each}") for each in ("Campaign Name", "URL")),
    *(("customerio", f"data.{each}") for each in ("campaign_id", "broadcast_id", "newsletter_id", "href", "action_id",
                                                  "trigger_event", "transactional_message_id")),
]  # fmt: skip
STRANGE = (True, {"a": {"b": [1]}}, [[1], {"a": None}], [None], 7.5, None, -(10**30))


@pytest.mark.parametrize(("name", "place"), DESCRIBING)
def test_no_event_is_lost_for_what_only_describes_it(name: str, place: str) -> None:
    player = PLAYERS[name]()
    every = Labels(("tags", "data.x", "utm_campaign"))
    for strange in STRANGE:
        event = player.one("ann@example.com", JUNE, "m-1", "spring")
        *path, last = place.split(".")
        within = event
        for each in path:
            within = within.setdefault(each, {})
        within[last] = strange
        keys = set()
        for labels in (Labels(), every, every):
            found = only(read(name, player.many([event])[0], labels))
            assert (found.type, found.recipient, found.message_id, found.occurred_at) == (
                EventType.OPENED, "ann@example.com", "m-1", AT,
            )  # fmt: skip
            keys.add(found.key)
        # The same bytes are the same event, whatever its source looks for. Each SNS message has an id of its own.
        assert len(keys) == 1 or name == "ses"


def test_a_number_is_a_label_too_and_a_machine_may_be_told_in_words() -> None:
    event = PLAYERS["sendgrid"]().one("ann@example.com", JUNE, "m-1", "x")
    found = only(read("sendgrid", [{**event, "category": [7, "Spring", None], "sg_machine_open": "true"}]))
    assert (found.tags, found.reasons) == (("7", "spring"), ("machine_open",))
    person = only(read("sendgrid", [{**event, "sg_machine_open": "false"}]))
    assert person.verdict.value == "human"
    assert person.key == found.key


NEEDED = {
    "sendgrid": ("event", "email", "sg_message_id"), "brevo": ("event", "message-id", "ts_epoch"),
    "postmark": ("RecordType", "MessageID", "Recipient"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", [[], {}, True], ids=str)
@pytest.mark.parametrize(("name", "place"), [(name, place) for name, places in NEEDED.items() for place in places])
def test_what_makes_an_event_what_it_is_must_be_what_it_should_be(name: str, place: str, wrong: Any) -> None:
    player = PLAYERS[name]()
    event = {**player.one("ann@example.com", JUNE, "m-1", "x"), place: wrong}
    assert read(name, player.many([event])[0]).quarantined == 1


@pytest.mark.parametrize("name", EVERY)
def test_fields_that_nobody_knows_change_nothing(name: str) -> None:
    player = PLAYERS[name]()
    plain = player.one("ann@example.com", JUNE, "m-1", "spring")
    more = {
        **plain,
        "zz_new": "ü\N{GRINNING FACE}" if name == "mailchimp" else {"deep": [1, None, "ü\N{GRINNING FACE}"]},
    }
    if name == "sparkpost":
        more = {"msys": {"track_event": {**plain["msys"]["track_event"], "zz_new": [1]}}}
    one, other = (only(read(name, player.many([each])[0])) for each in (plain, more))
    assert told(one) == told(other)
    if name not in ("resend", "ses"):  # whose posts have ids of their own
        assert one.key == other.key


@pytest.mark.parametrize("name", EVERY)
def test_an_event_sent_again_is_the_same_and_another_one_is_not(name: str) -> None:
    player = PLAYERS[name]()

    def key(address: str = "ann@example.com", at: int = JUNE, message: str = "m-1", when: datetime = START) -> bytes:
        return only(read(name, player.many([player.one(address, at, message, "spring")])[0], at=when)).key

    assert key() == key(when=START + timedelta(minutes=1))
    assert len({key(), key(address="bo@example.com"), key(at=JUNE + 1), key(message="m-2")}) == 4


def test_a_mailgun_id_that_comes_round_on_another_day_is_another_event() -> None:
    one, same, other = (
        only(read("mailgun", mailgun(event="opened", timestamp=at))) for at in (JUNE, JUNE, JUNE + 86_400)
    )
    assert one.key == same.key != other.key


def test_a_first_open_that_is_told_twice_is_one() -> None:
    opens = [
        only(read("sparkpost", spark(kind, "track_event", event_id=event_id))).key
        for kind, event_id in (("initial_open", "1"), ("open", "2"))
    ]
    assert len(set(opens)) == 1
    brevo = {"email": "ann@example.com", "message-id": "m", "ts_epoch": JUNE * 1000}
    assert len({only(read("brevo", {**brevo, "event": kind})).key for kind in ("opened", "unique_opened")}) == 1


def test_sendgrids_own_ids_say_nothing() -> None:
    event = PLAYERS["sendgrid"]().one("ann@example.com", JUNE, "m-1", "spring")
    assert len({only(read("sendgrid", [{**event, "sg_event_id": each}])).key for each in ("a", "b")}) == 1


def test_one_message_to_several_is_an_event_for_each_where_they_are_told_apart() -> None:
    to = ["ann@example.com", "bo@example.com", "ann@example.com"]
    mail = {"timestamp": JUNE_ISO, "messageId": "m-1", "destination": to}
    sent = events(read("ses", {"eventType": "Send", "mail": mail, "send": {}}))
    assert [event.recipient for event in sent] == ["ann@example.com", "bo@example.com"]
    assert len({event.key for event in sent}) == 2
    opened = only(read("ses", {"eventType": "Open", "mail": mail, "open": {"timestamp": JUNE_ISO}}))
    assert (opened.type, opened.recipient) == (EventType.OPENED, None)
    bounced = {"bouncedRecipients": [{"emailAddress": "bo@example.com"}], "timestamp": JUNE_ISO}
    assert [e.recipient for e in events(read("ses", {"eventType": "Bounce", "mail": mail, "bounce": bounced}))] == [
        "bo@example.com"
    ]


def test_whoever_is_not_named_of_several_is_not_told_on() -> None:
    """An automatic answer that SES took for a bounce names nobody: none of them would get a mail again."""
    mail = {"timestamp": JUNE_ISO, "messageId": "m-1", "destination": ["ann@example.com", "bo@example.com"]}
    for kind, name, said, ours in (
        ("Bounce", "bounce", {"bounceType": "Undetermined", "bouncedRecipients": []}, "bounced"),
        ("Complaint", "complaint", {"complainedRecipients": []}, "complained"),
        ("Subscription", "subscription", {"newTopicPreferences": {"unsubscribeAll": True}}, "unsubscribed"),
        ("Click", "click", {"link": "https://a.example"}, "clicked"),
    ):
        event = only(read("ses", {"eventType": kind, "mail": mail, name: said}))
        assert (event.type.value, event.recipient) == (ours, None)
        alone = {"eventType": kind, "mail": {**mail, "destination": ["ann@example.com"]}, name: said}
        assert only(read("ses", alone)).recipient == "ann@example.com"
    for kind, name in (("Send", "send"), ("Reject", "reject"), ("Rendering Failure", "failure")):
        assert len(events(read("ses", {"eventType": kind, "mail": mail, name: {}}))) == 2


def test_a_loaded_picture_is_a_machine_s_however_brevo_spells_it() -> None:
    said = {"email": "ann@example.com", "ts_epoch": JUNE * 1000}
    for word in ("proxy_open", "proxyOpen", "unique_proxy_open", "loadedByProxy"):
        assert only(read("brevo", {**said, "event": word})).reasons == ("machine_open",)


def test_a_form_is_read_with_names_that_have_no_value_and_gaps() -> None:
    form = PLAYERS["mailchimp"]().pack(chimp("subscribe", list_id="x"), URL, START)
    plain = only(received("mailchimp", form))
    for more in (b"&", b"&data%5Bmerges%5D%5BLNAME%5D", b"&&data[merges][LNAME]="):
        assert only(received("mailchimp", Sent(form.headers, form.body + more))) == plain


def test_an_envelope_of_sns_is_the_same_however_it_is_written_down() -> None:
    sent = PLAYERS["ses"]().pack(PLAYERS["ses"]().one("ann@example.com", JUNE, "m-1", "x"), URL, START)
    said, plain = json.loads(sent.body), only(received("ses", sent))
    more: Json = {
        "Subject": None,
        "UnsubscribeURL": "https://a.example",
        "MessageAttributes": {},
        "SequenceNumber": "1",
    }
    for envelope in ({**said, **more}, dict(sorted(said.items()))):
        assert only(received("ses", Sent({}, json.dumps(envelope, indent=2).encode()))) == plain


@pytest.mark.parametrize("name", ["ses", "resend", "sendgrid", "standard", "mailgun"])
def test_a_person_is_their_address_whatever_stands_beside_it(name: str) -> None:
    player = PLAYERS[name]()

    def recipient(told_as: str) -> str | None:
        return only(read(name, player.many([player.one(told_as, JUNE, "m-1", "spring")])[0])).recipient

    for told_as in (
        "Ann <Ann@Example.com>",
        "<ann@example.com>",
        '"B., <Ann>" < ann@example.com >',
        " ann@example.com ",
    ):
        assert recipient(told_as) == "ann@example.com"
    for odd in ("ann", "<ann>", "a<b", "ann@example.com>", "o'ann+x@example.com", "ann@bücher.example"):
        assert recipient(odd) == odd
    assert recipient("ann@example.com, Bo <bo@example.com>") is None


def test_one_person_in_two_spellings_is_told_of_once() -> None:
    mail = {"timestamp": JUNE_ISO, "messageId": "m-1", "destination": ["Ann@example.com", "Ann <ann@example.com>"]}
    for kind in ("Send", "Open"):
        assert only(read("ses", {"eventType": kind, "mail": mail})).recipient == "ann@example.com"


LABELS: list[tuple[str, Json, str]] = [
    ("sendgrid", [{**PLAYERS["sendgrid"]().one("a@b.example", JUNE, "m", "x"), "topic": "Spring"}], "data.topic"),
    ("mailgun", mailgun(event="opened", **{"user-variables": {"topic": "Spring"}}), "data.topic"),
    ("mandrill", [{"event": "open", "ts": JUNE, "msg": {"metadata": {"topic": "Spring"}}}], "data.topic"),
    ("postmark", postmark("Open", "ReceivedAt", Metadata={"topic": "Spring"}), "data.topic"),
    ("brevo", {"event": "click", "ts_epoch": JUNE * 1000, "X-Mailin-custom": '{"topic": "Spring"}'}, "data.topic"),
    ("brevo", {"event": "click", "ts_epoch": JUNE * 1000, "X-Mailin-custom": "Spring"}, "data.X-Mailin-custom"),
    ("mailjet", {"event": "open", "time": JUNE, "Payload": '{"topic": "Spring"}'}, "data.topic"),
    ("mailjet", {"event": "open", "time": JUNE, "CustomID": "Spring"}, "data.CustomID"),
    ("sparkpost", spark("open", "track_event", rcpt_meta={"topic": "Spring"}), "data.topic"),
    ("resend", resend("email.opened", tags={"topic": "Spring", "other": "x"}), "data.topic"),
    ("standard", {"type": "opened", "occurred_at": JUNE_ISO, "metadata": {"topic": "Spring"}}, "data.topic"),
    ("customerio", cio("opened", campaign_id="x", broadcast_id="Spring"), "data.broadcast_id"),
    ("ses", {"eventType": "Open", "mail": {"timestamp": JUNE_ISO, "tags": {"topic": ["Spring"], "z": ["x"]}}},
     "data.topic"),
    ("ses", {"eventType": "Open", "mail": {"timestamp": JUNE_ISO, "headers": [{"name": "X-Topic", "value": "Spring"}]}},
     "data.X-Topic"),
    ("sendgrid", [{"event": "click", "email": "a@b.example", "timestamp": JUNE,
                   "url": "https://a.example/?x=1&utm_campaign=Spring%20"}], "utm_campaign"),
    ("resend", resend("email.clicked", click={"link": "https://a.example/?utm_campaign=spring#x"}), "utm_campaign"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "payload", "label"), LABELS)
def test_a_campaign_is_found_by_what_the_source_says(name: str, payload: Json, label: str) -> None:
    assert only(read(name, payload, Labels((label,)))).tags == ("spring",)
    assert only(read(name, payload, Labels(("data.nothing", label)))).tags == ("spring",)


def test_what_is_no_label_is_passed_over() -> None:
    payload = [
        {**PLAYERS["sendgrid"]().one("a@b.example", JUNE, "m", "x"), "long": "y" * 400, "none": None, "deep": {}}
    ]
    found = Labels(("data.long", "data.none", "data.deep", "utm_campaign", "tags"))
    assert only(read("sendgrid", payload, found)).tags == ("x",)


def test_a_header_of_sess_own_names_no_campaign() -> None:
    tags = {"ses:source-ip": ["192.0.2.1"], "campaign": ["spring"]}
    event = {"eventType": "Open", "mail": {"timestamp": JUNE_ISO, "tags": tags}}
    assert only(read("ses", event)).tags == ("spring",)


def test_ses_says_hello_and_it_is_no_event() -> None:
    for hello in (
        b"Successfully validated SNS topic for Amazon SES event publishing.",
        b'{"notificationType": "AmazonSnsSubscriptionSucceeded", "message": "You have subscribed"}',
    ):
        assert received("ses", SesPlayer().sign(hello, URL, START)) == Reading([], [])


LEGACY = [("event", "clicked"), ("recipient", "ann@example.com"), ("url", "https://a.example"), ("tag", "spring"),
          ("tag", "x"), ("Message-Id", "<m-1>"), ("topic", "own"), ("timestamp", "1")]  # fmt: skip


def test_mailguns_legacy_forms_are_read_as_their_kind_was() -> None:
    player = MailgunPlayer()
    for sent in (player.legacy(LEGACY, START), player.multipart(LEGACY, START, 0, "xyz")):
        event = only(received("mailgun", sent))
        assert told(event) == (
            "clicked", "ann@example.com", "m-1", "https://a.example", ("spring", "x"), "human", (),
        )  # fmt: skip
        assert event.occurred_at == START
        assert only(received("mailgun", sent, Labels(("data.topic",)))).tags == ("own",)


def test_a_form_that_is_not_all_utf_8_or_all_sound_is_read_or_kept() -> None:
    player = MailgunPlayer()
    form = player.legacy([*LEGACY, ("subject", "xyz")], START)
    event = only(received("mailgun", Sent(form.headers, form.body.replace(b"xyz", b"%ffz"))))
    assert event == only(received("mailgun", Sent(form.headers, form.body.replace(b"xyz", b"\xffz"))))
    parts = player.multipart([*LEGACY, ("subject", "xyz")], START, 0, "b")
    assert only(received("mailgun", Sent(parts.headers, parts.body.replace(b"xyz", b"\xffz")))).key == event.key
    deep = b"".join(b"--%d\r\nContent-Type: multipart/mixed; boundary=%d\r\n\r\n" % (n, n + 1) for n in range(3000))
    for name in ("mailgun", "mandrill", "mailchimp"):
        platform = PLATFORMS[PlatformName(name)]
        sent = Sent({"Content-Type": "multipart/form-data; boundary=0"}, deep)
        believed = platform.verify(PLAYERS[name]().credentials(), sent.to(URL, START))
        assert believed is (name == "mailchimp")
    assert platform.read(sent.to(URL, START), Labels()).quarantined == 1


@pytest.mark.parametrize("name", EVERY)
def test_half_an_emoji_costs_no_event(name: str) -> None:
    player = PLAYERS[name]()
    if name == "mailchimp":  # whose forms have none
        return
    payload = player.many([{**player.one("ann@example.com", JUNE, "m-1", "spring"), "zz": "\N{GRINNING FACE}"}])[0]
    if name == "sparkpost":
        payload[0]["msys"]["track_event"] |= {"zz": payload[0].pop("zz")}
    if name == "ses":
        body = json.dumps(payload).replace("\\ude00", "").encode()
        assert only(received(name, player.sign(body, URL, START))).recipient == "ann@example.com"
        return
    whole = json.dumps({"data": payload, "meta": {"klaviyo_webhook_id": "01HQ"}} if name == "klaviyo" else payload)
    assert only(received(name, player.sign(whole.replace("\\ude00", "").encode(), URL, START))).type.value == (
        KINDS.get(name, "opened")
    )


def test_a_multipart_form_sent_again_under_another_boundary_is_the_same_claim() -> None:
    player, platform = MailgunPlayer(), PLATFORMS[PlatformName.MAILGUN]
    forms = [player.multipart(LEGACY, START, 0, each) for each in ("xyz", "abcdef")]
    claims = {platform.claim(form.to(URL, START)) for form in forms}
    assert len(claims) == 1


def test_a_mail_that_is_attached_to_a_form_costs_it_nothing_however_it_is_nested() -> None:
    """Mailgun's forms about what it couldn't deliver have the mail with them."""
    plain = MailgunPlayer().multipart(LEGACY, START, 0, "xyz")
    deep = b"".join(b"--%d\r\nContent-Type: multipart/mixed; boundary=%d\r\n\r\n" % (n, n + 1) for n in range(3000))
    file = b'--xyz\r\nContent-Disposition: form-data; name="attachment-1"; filename="m.eml"\r\n'
    mail = file + b"Content-Type: multipart/mixed; boundary=0\r\n\r\n" + deep + b"\r\n"
    assert only(received("mailgun", Sent(plain.headers, mail + plain.body))) == only(received("mailgun", plain))


CLOUD = {"specversion": "1.0", "id": "1", "source": "/x", "type": "com.example.mail.opened", "time": JUNE_ISO}
INNER = {"recipient": "ann@example.com", "message_id": "m-1", "tags": "spring"}
BINARY = {"Content-Type": "application/json", "ce-specversion": "1.0", "ce-type": "mail.clicked", "ce-id": "9"}


def test_own_events_come_as_cloudevents_or_lines_too() -> None:
    plain = {"type": "opened", "occurred_at": JUNE_ISO, **INNER}
    wanted = only(read("standard", plain))
    structured = {**CLOUD, "data": INNER}
    for payload in (
        {**plain, "time": 5, "data": "x", "data_base64": [], "metadata": "x"},
        structured,
        [structured],
        {**CLOUD, "type": "x", "data": plain},
    ):
        assert only(read("standard", payload)) == wanted
    player = PLAYERS["standard"]()
    encoded = {**CLOUD, "data_base64": base64.b64encode(json.dumps(INNER).encode()).decode()}
    assert only(read("standard", encoded)) == wanted
    for nothing in (CLOUD, {**CLOUD, "data": None}):
        event = only(read("standard", nothing))
        assert (event.type, event.recipient, event.occurred_at) == (EventType.OPENED, None, AT)
    # In binary mode the attributes are headers, which nobody has signed.
    binary = player.sign(json.dumps(plain).encode(), URL, START)
    for name, value in BINARY.items():
        binary = binary.with_header(name, value)
    assert only(received("standard", binary)) == wanted
    lines = b"\n".join(json.dumps({**plain, "message_id": each}).encode() for each in ("m-1", "m-2")) + b"\n\n"
    assert [event.message_id for event in events(received("standard", player.sign(lines, URL, START)))] == [
        "m-1",
        "m-2",
    ]
    pretty = json.dumps(plain, indent=2).encode()
    assert only(received("standard", player.sign(pretty, URL, START))) == wanted


def test_a_line_that_can_not_be_read_costs_no_other() -> None:
    good = json.dumps({"type": "opened", "occurred_at": JUNE_ISO})
    reading = received(
        "standard", PLAYERS["standard"]().sign(f'{good}\n{{oops\n{good[:-1]}, "url": "x"}}'.encode(), URL, START)
    )
    assert (len(reading.events), len(reading.unreadable)) == (2, 1)
    first = received("standard", PLAYERS["standard"]().sign(f"{{oops\n{good}\n{good}".encode(), URL, START))
    assert (len(first.events), [each.payload for each in first.unreadable]) == (2, [b"{oops"])
    pretty = json.dumps({"events": [{"type": "opened"}]}, indent=1)[:-1].encode()
    assert received("standard", PLAYERS["standard"]().sign(pretty, URL, START)).unreadable[0].payload == pretty


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[1]", b'"x"', b"[" * 4000, b'{"a": 1}', b"\xff", b"[[]]", b"5"])
@pytest.mark.parametrize("name", EVERY)
def test_whatever_is_authentic_and_makes_no_sense_is_kept_and_raises_nothing(name: str, body: bytes) -> None:
    player, platform = PLAYERS[name](), PLATFORMS[PlatformName(name)]
    delivery = player.sign(body, URL, START).to(URL, START, player.certificate)
    if not platform.verify(player.credentials(), delivery):
        return  # what it signs is in there, or it is no body that this platform could have signed
    reading = platform.read(delivery, Labels())
    assert reading.events == []
    assert reading.quarantined == 1 or name == "ses"


@pytest.mark.parametrize("name", EVERY)
async def test_any_replay_or_shuffle_changes_no_number(
    metrics: httpx.AsyncClient, account: Play, name: str, campaign: Campaigns, points: Read
) -> None:
    at = await account(name)
    spring = await campaign("spring")
    people = [at.player.one(f"p{n}@example.com", JUNE + n, f"m-{n}", "spring") for n in range(6)]
    sends = [payload for _ in range(3) for payload in at.player.many(people)]
    random.shuffle(sends)
    for nonce, payload in enumerate(sends):
        answer = await at.say(payload, nonce)
        assert answer.status_code == 200, answer.text
        assert answer.json()["quarantined"] == 0
    found = (await metrics.get("/v1/events", params={"source_id": at.source["id"]})).json()["items"]
    assert len(found) == 6
    if name != "hubspot":
        assert {each["campaign_id"] for each in found} == {spring}
    if name not in ("hubspot", "mailchimp"):
        (opens,) = await points("email.opens", campaign_id=spring)
        assert opens["value"] == 6


def forgeries(account: Account, payload: Json) -> list[tuple[str, Sent]]:
    """What somebody could try who has seen a post, or knows another source's secret."""
    player, at, url = account.player, account.clock.now, account.url
    right = player.pack(payload, url, at, 7)
    other = PLAYERS[player.name](1).pack(payload, url, at, 7)
    found: list[tuple[str, Sent]] = [("another source's secret", other)]
    for name in player.signed:
        value = right.headers[name]
        found += [
            (f"without {name}", right.with_header(name, None)),
            (f"{name} of another", right.with_header(name, "1780315201")),
            (f"{name} doubled", right.with_header(name, value + value)),
            (f"{name} and more", right.with_header(name, value + "=")),
            (f"{name} cut", right.with_header(name, value[:-1])),
            (f"{name} of another case", right.with_header(name, value.swapcase())),
        ]
    if player.covers_body:
        found += [
            ("a body and a space", Sent(right.headers, right.body + b" ")),
            ("another body", Sent(right.headers, right.body.replace(b"ann", b"eve"))),
            ("half a body", Sent(right.headers, right.body[: len(right.body) // 2])),
            ("no body", Sent(right.headers, b"")),
        ]
    return [(what, sent) for what, sent in found if (sent.headers, sent.body) != (right.headers, right.body)]


@pytest.mark.parametrize("name", [each for each in EVERY if each != "mailchimp"])
async def test_a_forgery_of_any_part_is_refused_and_leaves_nothing(
    account: Play, name: str, metrics_app: FastAPI, workspace: Workspace
) -> None:
    at = await account(name)
    status = 401 if isinstance(at.player, BasicPlayer) else 403
    (payload,) = at.player.many([at.player.one("ann@example.com", JUNE, "m-1", "spring")])
    tried = forgeries(at, payload)
    for what, sent in tried:
        answer = await at.send(sent)
        assert answer.status_code == status, f"{what}: {answer.text}"
        assert answer.json()["code"] == "signature_invalid"
    assert await rows(metrics_app, workspace) == 0
    assert (await at.say(payload, 7)).status_code == 200


@pytest.mark.parametrize("name", ["resend", "standard", "hubspot"])
async def test_an_old_post_is_refused_where_signatures_age(account: Play, name: str, clock: Clock) -> None:
    at = await account(name)
    (payload,) = at.player.many([at.player.one("ann@example.com", JUNE, "m-1", "spring")])
    for minutes, status in ((-6, 403), (-4, 200), (4, 200), (6, 403)):
        sent = at.player.pack(payload, at.url, clock.now + timedelta(minutes=minutes))
        assert (await at.send(sent)).status_code == status


async def test_a_mailgun_token_is_good_for_one_body(account: Play, clock: Clock, metrics: httpx.AsyncClient) -> None:
    at = await account("mailgun")
    assert isinstance(at.player, MailgunPlayer)
    one = at.player.pack(at.player.one("ann@example.com", JUNE, "m-1", "x"), at.url, clock.now)
    other = at.player.pack(at.player.one("eve@example.com", JUNE, "m-1", "x"), at.url, clock.now)
    answers = [(await at.send(each)).status_code for each in (one, other, one, other, one)]
    assert answers == [200, 403, 200, 403, 200]
    listed = (await metrics.get("/v1/events")).json()["items"]
    assert [event["recipient"] for event in listed] == ["ann@example.com"]
    clock.forward(hours=23)
    assert (await at.send(one)).status_code == 200
    clock.forward(hours=2)
    assert (await at.send(one)).status_code == 403


async def test_a_mailgun_token_is_remembered_after_a_restart_and_no_longer_than_it_is_taken(
    account: Play, clock: Clock, metrics_app: FastAPI, workspace: Workspace
) -> None:
    at = await account("mailgun")
    one = at.player.pack(at.player.one("ann@example.com", JUNE, "m-1", "x"), at.url, clock.now)
    assert (await at.send(one)).status_code == 200

    async def kept() -> int:
        async with metrics_app.state.database.worker() as session:
            counted = text("SELECT count(*) FROM claim WHERE workspace_id = :id")
            return int(await session.scalar(counted, {"id": workspace.id}) or 0)

    assert await kept() == 1
    async with metrics_app.state.database.worker() as session:
        await forget(session, clock.now + timedelta(hours=47))
    assert await kept() == 1
    async with metrics_app.state.database.worker() as session:
        await forget(session, clock.now + timedelta(hours=49))
    assert await kept() == 0


async def test_a_digit_can_not_move_between_a_mailgun_time_and_its_token(account: Play, clock: Clock) -> None:
    at = await account("mailgun")
    payload = at.player.one("ann@example.com", JUNE, "m-1", "x")
    right = json.loads(at.player.pack(payload, at.url, clock.now).body)
    signed = right["signature"]["timestamp"] + right["signature"]["token"]
    for place in (9, 11):
        moved = {**right["signature"], "timestamp": signed[:place], "token": signed[place:]}
        sent = Sent({}, json.dumps({"signature": moved, "event-data": payload}).encode())
        assert (await at.send(sent)).status_code == 403


async def test_hubspot_signs_a_url_with_what_it_decodes_of_it(account: Play, clock: Clock) -> None:
    at = await account("hubspot")
    payload = [at.player.one("ann@example.com", JUNE, "m-1", "x")]
    query, decoded = "?at=x%40y%3a1%20%2C%25", "?at=x@y:1%20,%25"
    for signed, status in ((decoded, 200), (query, 403), ("", 403)):
        sent = at.player.pack(payload, at.url + signed, clock.now)
        path = urlsplit(at.url).path + query
        assert (await at.http.post(path, content=sent.body, headers=dict(sent.headers))).status_code == status


@pytest.mark.parametrize("name", ["hubspot", "mandrill"])
def test_nothing_of_a_body_can_move_into_the_url(name: str) -> None:
    player, platform, url = PLAYERS[name](), PLATFORMS[PlatformName(name)], f"{URL}?a=b"
    said = player.one("mandrill_events[]@example.com", JUNE, "m-1", "x")
    right = player.pack([said], url, START)
    moved = [(right.body[:n].decode(), right.body[n:]) for n in range(1, len(right.body))]
    if name == "mandrill":
        before, _, after = f"mandrill_events{json.dumps([said])}".rpartition("mandrill_events")
        moved = [(before, urlencode({"mandrill_events": after}).encode())]
    for query, body in moved:
        assert not platform.verify(player.credentials(), Sent(right.headers, body).to(url + query, START))
    assert platform.verify(player.credentials(), right.to(url, START))


@pytest.mark.parametrize("name", ["resend", "standard"])
async def test_the_other_vendor_s_id_beside_a_signature_makes_no_other_event(
    account: Play, name: str, clock: Clock
) -> None:
    at = await account(name)
    (payload,) = at.player.many([at.player.one("ann@example.com", JUNE, "m-1", "x")])
    right = at.player.pack(payload, at.url, clock.now)
    ours, other = ("svix-id", "webhook-id") if name == "resend" else ("webhook-id", "svix-id")
    assert (await at.send(right.with_header(other, "msg_new"))).status_code == 403
    assert (await at.send(right.with_header(other, right.headers[ours]))).status_code == 200


async def test_mandrill_signs_the_url_that_was_pasted(account: Play, clock: Clock) -> None:
    at = await account("mandrill")
    payload = [at.player.one("ann@example.com", JUNE, "m-1", "x")]
    assert (await at.send(at.player.pack(payload, "http://proxy.internal/v1/webhooks/x", clock.now))).status_code == 403
    behind = {**at.player.pack(payload, at.url, clock.now).headers, "Host": "proxy.internal", "X-Forwarded-Host": "x"}
    answer = await at.send(Sent(behind, at.player.pack(payload, at.url, clock.now).body))
    assert answer.status_code == 200, answer.text


async def test_of_a_mandrill_form_only_its_one_field_is_believed(account: Play, clock: Clock) -> None:
    at = await account("mandrill")
    assert isinstance(at.player, MandrillPlayer)
    whole = json.dumps([at.player.one("ann@example.com", JUNE, "m-1", "x")])
    signature = at.player.form([("mandrill_events", whole)], at.url).headers["X-Mandrill-Signature"]
    for fields in (
        [("mandrill_events", whole[:20]), (whole[20:], "")], [("mandrill_events" + whole[:5], whole[5:])],
        [("mandrill_events", whole), ("mandrill_events", "")], [],
    ):  # fmt: skip
        sent = at.player.form(fields, at.url).with_header("X-Mandrill-Signature", signature)
        assert (await at.send(sent)).status_code == 403
    assert (await at.send(at.player.form([("mandrill_events", "[]")], at.url))).json()["received"] == 0


@pytest.mark.parametrize("name", EVERY)
async def test_a_platform_is_greeted_as_it_asks(account: Play, name: str) -> None:
    at = await account(name)
    path = urlsplit(at.url).path
    allowed = {"mailchimp": {"GET", "HEAD"}, "mandrill": {"HEAD"}}.get(name, set())
    for method in ("GET", "HEAD"):
        answer = await at.http.request(method, path)
        assert answer.status_code == (200 if method in allowed else 405)
        assert (await at.http.request(method, path[:-1])).status_code == 404


@pytest.mark.parametrize("version", ["1", "2"])
async def test_sns_is_believed_by_either_version_of_its_signature(
    account: Play, clock: Clock, version: str, metrics: httpx.AsyncClient
) -> None:
    at = await account("ses")
    assert isinstance(at.player, SesPlayer)
    at.player.version = version
    assert (await at.say(at.player.one("ann@example.com", JUNE, "m-1", "x"))).json()["received"] == 1
    said = {"Type": "Notification", "MessageId": "1", "Message": "{}", "Subject": "with one"}
    assert (await at.send(at.player.envelope(said, clock.now))).json() == {"received": 0, "quarantined": 1}


def changed(sent: Sent, **fields: Any) -> Sent:
    return Sent(sent.headers, json.dumps({**json.loads(sent.body), **fields}).encode())


async def test_sns_is_believed_by_its_own_certificate_for_named_topics_alone(
    account: Play, clock: Clock, outside: Shelf, metrics_app: FastAPI, workspace: Workspace
) -> None:
    at = await account("ses")
    assert isinstance(at.player, SesPlayer)
    right = at.player.pack(at.player.one("ann@example.com", JUNE, "m-1", "x"), at.url, clock.now)
    other = SesPlayer(1)
    host = "https://sns.eu-west-1.amazonaws.com"
    pem = "/SimpleNotificationService-00000000000000000000000000000000.pem"
    for evil in (
        "https://evil.example" + pem, "http://sns.eu-west-1.amazonaws.com" + pem, host + ".evil.example" + pem,
        "https://sns.us-east-1.amazonaws.com" + pem, "https://sns.eu-west-1.amazonaws.com:8443" + pem,
        "https://x@sns.eu-west-1.amazonaws.com" + pem, host + "@evil.example" + pem, host + "/../evil" + pem,
        host + pem + "?x", host + "/x" + pem, host + pem.replace(".pem", ".txt"), host + "\\@evil.example" + pem,
        "https://s3.eu-west-1.amazonaws.com" + pem, "https://SNS.eu-west-1.amazonaws.com" + pem, "", host,
    ):  # fmt: skip
        outside.places[evil] = at.player.certificate
        assert (await at.send(changed(right, SigningCertURL=evil))).status_code == 403, evil
    assert outside.visits == []
    for forged in (
        other.pack(other.one("eve@example.com", JUNE, "m-1", "x"), at.url, clock.now),
        changed(right, TopicArn=other.topic), changed(right, Message="{}"), changed(right, MessageId="2"),
        changed(right, Timestamp="2026-06-15T12:00:01.000Z"), changed(right, Type="SubscriptionConfirmation"),
        changed(right, SignatureVersion="1"), changed(right, SignatureVersion="3"), changed(right, Signature=""),
        changed(right, Subject="new"), changed(right, Signature=json.loads(right.body)["Signature"] + "\n"),
        changed(right, MessageId=f"{json.loads(right.body)['MessageId']}\nSubject\nx"), changed(right, Message=None),
        changed(right, SigningCertURL=host + pem[:-5] + "1.pem"),
    ):  # fmt: skip
        assert (await at.send(forged)).status_code == 403, forged.body
    assert await rows(metrics_app, workspace) == 0
    assert (await at.send(right)).status_code == 200
    assert len(outside.visits) == 2  # each certificate once


async def test_a_subscription_is_confirmed_for_a_named_topic_alone(account: Play, clock: Clock, outside: Shelf) -> None:
    at = await account("ses")
    player = at.player
    assert isinstance(player, SesPlayer)
    host = "https://sns.eu-west-1.amazonaws.com"

    def asked(url: str, topic: str = player.topic, **fields: str) -> Sent:
        said = {"Type": "SubscriptionConfirmation", "MessageId": "1", "Message": "You have chosen", "Token": "t" * 40}
        return player.envelope({**said, "TopicArn": topic, "SubscribeURL": url, **fields}, clock.now)

    link = f"{host}/?Action=ConfirmSubscription&TopicArn={player.topic}&Token={'t' * 40}"
    outside.places |= {link: b"<ok/>"}
    assert (await at.send(asked(link))).json() == {"received": 0, "quarantined": 0}
    assert outside.visits.count(link) == 1
    for wrong in (
        link.replace(host, "https://evil.example"), link.replace("https", "http"), link.replace("Confirm", "Delete"),
        link.replace("/?", "/x?"), link + "&x=1", link.replace(player.topic, SesPlayer(1).topic), link + "&Token=x",
        link.replace("t" * 40, "u" * 40),
    ):  # fmt: skip
        outside.places[wrong] = b"<ok/>"
        assert (await at.send(asked(wrong))).status_code == 403, wrong
    assert (await at.send(asked(link, SesPlayer(1).topic))).status_code == 403
    assert len([each for each in outside.visits if "Action" in each]) == 1
    del outside.places[link]
    assert (await at.send(asked(link))).status_code == 503


async def test_a_certificate_that_can_not_be_had_is_asked_for_a_few_times_alone(
    account: Play, clock: Clock, outside: Shelf
) -> None:
    at = await account("ses")
    right = at.player.pack(at.player.one("ann@example.com", JUNE, "m-1", "x"), at.url, clock.now)
    unheard = {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-b.pem"}
    for wrong in (
        {"Signature": ""}, {"Signature": "c2hvcnQ="}, {"SignatureVersion": "3"}, {"Type": "Other"},
        {"Type": "SubscriptionConfirmation", "Token": "t", "SubscribeURL": "https://evil.example"},
    ):  # fmt: skip
        assert (await at.send(changed(right, **unheard, **wrong))).status_code == 403
    assert outside.visits == []
    for number in range(40):
        for _ in range(2):
            url = f"https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-a{number}.pem"
            answer = await at.send(changed(right, SigningCertURL=url))
            assert (answer.status_code, answer.json()["code"]) == (503, "no_certificate")
    assert len(outside.visits) == 20


RETRY = {"brevo": 429}
STOP = {"mailgun": 406, "postmark": 403}


@pytest.mark.parametrize("name", EVERY)
async def test_each_platform_is_answered_in_the_status_that_it_understands(
    account: Play, name: str, metrics: httpx.AsyncClient, metrics_app: FastAPI
) -> None:
    at = await account(name)
    (payload,) = at.player.many([at.player.one("ann@example.com", JUNE, "m-1", "spring")])
    again = RETRY.get(name, 503)
    with metrics_app.state.flusher.expecting(64_000_000):
        full = await at.say(payload)
    assert (full.status_code, full.headers["retry-after"]) == (again, "1")
    where = f"/v1/sources/{at.source['id']}"
    assert (await metrics.post(f"{where}/pause")).json()["state"] == "paused"
    paused = await at.say(payload)
    assert (paused.status_code, paused.json()["code"], paused.headers["retry-after"]) == (again, "source_paused", "300")
    assert (await metrics.post(f"{where}/resume")).json()["state"] == "active"
    assert (await at.say(payload)).status_code == 200
    assert (await metrics.post(f"{where}/revoke")).json()["state"] == "revoked"
    assert (await at.say(payload)).status_code == STOP.get(name, 410)


async def test_a_failure_that_nobody_thought_of_is_told_in_the_platforms_own_word(
    account: Play, monkeypatch: pytest.MonkeyPatch, metrics: httpx.AsyncClient
) -> None:
    at = await account("brevo")
    payload = [at.player.one("ann@example.com", JUNE, "m-1", "spring")]
    with monkeypatch.context() as patch:
        patch.setattr(type(PLATFORMS[PlatformName.BREVO]), "read", lambda *_: 1 / 0)
        assert (await at.say(payload)).status_code == 429
    assert (await at.say(payload)).status_code == 200


class Away:
    """A database that can't be reached."""

    def worker(self) -> Any:
        raise OSError


async def test_without_a_database_each_platform_still_sends_again(
    account: Play, metrics_app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    brevo, postmark_ = await account("brevo"), await account("postmark")
    payload = [brevo.player.one("ann@example.com", JUNE, "m-1", "spring")]
    assert (await brevo.say(payload)).status_code == 200
    monkeypatch.setattr(metrics_app.state.sources, "_database", Away())
    monkeypatch.setattr(metrics_app.state.sources, "_clock", lambda: 10**9)
    # Brevo's is remembered; whose the other URL is nobody knows, and 429 is what all of them take for "again".
    for each in (brevo, postmark_):
        answer = await each.say(payload)
        assert (answer.status_code, answer.json()["code"]) == (429, "database_unavailable")
        assert answer.headers["retry-after"]
