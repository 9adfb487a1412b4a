"""Decides how Amazon SES is trusted and read, whose events come by way of SNS."""

import re
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from urllib.parse import parse_qs, urlsplit

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from chassis.errors import Invalid
from services.metrics.event.rules import EventType, ReadEvent, Reading, clean_recipient
from services.metrics.source.platforms.decoding import DECODING, strict_base64
from services.metrics.source.platforms.fields import Fields
from services.metrics.source.platforms.platform import Credentials, Delivery, Platform
from services.metrics.source.platforms.telling import object_of, read_whole, tell
from services.metrics.source.rules import Labels

TOPIC = re.compile(r"arn:(aws|aws-cn|aws-us-gov):sns:([a-z0-9-]{1,40}):[0-9]{12}:[A-Za-z0-9_.-]{1,256}", re.ASCII)
CERTIFICATE = re.compile(r"/SimpleNotificationService-[A-Za-z0-9_-]{1,100}\.pem", re.ASCII)
NOTIFICATION, CONFIRMATION = "Notification", "SubscriptionConfirmation"
# What is signed, in this order; a Subject only where there is one.
SIGNED = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    CONFIRMATION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
# Version 1 is SNS's own default: nobody can sign anew with SHA-1 what Amazon hasn't signed.
DIGESTS = {"1": SHA1(), "2": SHA256()}  # noqa: S303
# Bytes of one by an RSA key of 1024 bits; theirs have 2048.
SHORTEST_SIGNATURE = 128
# What SES writes to a topic when it is told of it, by one of its ways or the other.
GREETING, SUBSCRIBED = "Successfully validated SNS topic", "AmazonSnsSubscriptionSucceeded"
# What SES didn't send, as the account's own list has the address: it counts as no bounce there either.
HELD_BACK = "OnAccountSuppressionList"
# What happened; under which name it is told, and where of whom.
KINDS = {
    "Send": (EventType.SENT, "send", ""),
    "Delivery": (EventType.DELIVERED, "delivery", "recipients"),
    "DeliveryDelay": (EventType.DEFERRED, "deliveryDelay", "delayedRecipients"),
    "Bounce": (EventType.BOUNCED, "bounce", "bouncedRecipients"),
    "Complaint": (EventType.COMPLAINED, "complaint", "complainedRecipients"),
    "Reject": (EventType.REJECTED, "reject", ""),
    "Open": (EventType.OPENED, "open", ""),
    "Click": (EventType.CLICKED, "click", ""),
    "Rendering Failure": (EventType.FAILED, "failure", ""),
    "Subscription": (EventType.SUBSCRIBED, "subscription", ""),
}


# What happens to a mail as a whole, so that it happened to each whom it was sent to.
OF_ALL = frozenset({"Send", "Reject", "Rendering Failure"})


class Envelope(msgspec.Struct):
    """What SNS wraps a message in."""

    Type: str
    MessageId: str
    TopicArn: str
    Message: str
    Timestamp: str
    SignatureVersion: str
    Signature: str
    SigningCertURL: str
    Subject: str | None = None
    SubscribeURL: str | None = None
    Token: str | None = None


@lru_cache(maxsize=64)
def _key(pem: bytes) -> RSAPublicKey | None:
    try:
        key = x509.load_pem_x509_certificate(pem).public_key()
    except ValueError:
        return None
    return key if isinstance(key, RSAPublicKey) else None


class Ses(Platform):
    """RSA over SNS's canonical text, for topics that are named; by a certificate that only the host of SNS in the
    topic's own region can have handed out. No age limit: a subscription may send again for hours."""

    needs = ("topic_arns",)

    def check(self, credentials: Credentials) -> None:
        if not credentials["topic_arns"] or not all(TOPIC.fullmatch(each) for each in credentials["topic_arns"]):
            raise Invalid.field(
                "credentials.topic_arns", "ARNs of SNS topics, one at least: arn:aws:sns:REGION:ACCOUNT:NAME"
            )

    def certificate_url(self, credentials: Credentials, delivery: Delivery) -> str | None:
        envelope = _envelope(delivery)
        if envelope is None or envelope.TopicArn not in credentials["topic_arns"] or not _may_hold(envelope):
            return None
        url = envelope.SigningCertURL
        return url if CERTIFICATE.fullmatch(_path(url, envelope.TopicArn)) else None

    def verify(self, credentials: Credentials, delivery: Delivery) -> bool:
        envelope = _envelope(delivery)
        if envelope is None or self.certificate_url(credentials, delivery) is None:
            return False
        key, signed, signature = _key(delivery.certificate), _canonical(envelope), strict_base64(envelope.Signature)
        if key is None or signed is None or signature is None:
            return False
        try:
            key.verify(signature, signed, PKCS1v15(), DIGESTS[envelope.SignatureVersion])
        except InvalidSignature:
            return False
        return True

    def confirmation_url(self, delivery: Delivery) -> str | None:
        envelope = _envelope(delivery)
        return envelope.SubscribeURL if envelope is not None and envelope.Type == CONFIRMATION else None

    def read(self, delivery: Delivery, labels: Labels) -> Reading:
        envelope = _envelope(delivery)
        if envelope is None or envelope.Type != NOTIFICATION or envelope.Message.startswith(GREETING):
            return Reading([], [])
        message = envelope.Message

        def read() -> Iterable[ReadEvent]:
            yield from _events(object_of(message.encode()), envelope.MessageId, labels, delivery.at)

        return read_whole(delivery.body, read)


def _envelope(delivery: Delivery) -> Envelope | None:
    try:
        return msgspec.json.decode(delivery.body, type=Envelope)
    except DECODING:
        return None


def _may_hold(envelope: Envelope) -> bool:
    """Whether there is anything to check with a certificate: none is fetched for what no certificate makes true."""
    return (
        envelope.SignatureVersion in DIGESTS
        and len(strict_base64(envelope.Signature) or b"") >= SHORTEST_SIGNATURE
        and _canonical(envelope) is not None
        and (envelope.Type != CONFIRMATION or _confirms(envelope))
    )


def _path(url: str, topic: str) -> str:
    """A URL's path, with its query if any, at the one host of SNS in a topic's region; empty for any other."""
    match = TOPIC.fullmatch(topic)
    host = f"https://sns.{match[2]}.amazonaws.com{'.cn' if match[1] == 'aws-cn' else ''}/" if match else ""
    return url.removeprefix(host[:-1]) if host and url.startswith(host) else ""


def _canonical(envelope: Envelope) -> bytes | None:
    """The text that SNS signed; None for an envelope that it doesn't sign."""
    lines: list[str] = []
    for name in SIGNED.get(envelope.Type, ()):
        value = getattr(envelope, name)
        if value is None and name == "Subject":
            continue
        # Fields are told apart by their lines alone: only the first, the message, may have several.
        if value is None or ("\n" in value and name != "Message"):
            return None
        lines += [name, value]
    try:
        return "".join(f"{line}\n" for line in lines).encode() if lines else None
    except UnicodeEncodeError:
        return None


def _confirms(envelope: Envelope) -> bool:
    """Whether the link does nothing but confirm this very topic, at the host of SNS."""
    path = _path(envelope.SubscribeURL or "", envelope.TopicArn)
    if not path.startswith("/?"):
        return False
    asked = parse_qs(urlsplit(path).query)
    return (
        asked.keys() == {"Action", "TopicArn", "Token"}
        and asked["Action"] == ["ConfirmSubscription"]
        and asked["TopicArn"] == [envelope.TopicArn]
        and asked["Token"] == [envelope.Token]
    )


def _events(event: Fields, post_id: str, labels: Labels, now: datetime) -> Iterable[ReadEvent]:
    word, mail = event.text("eventType", "notificationType") or "", event.part("mail")
    if word == SUBSCRIBED:
        return
    kind, name, whom = KINDS.get(word, (EventType.UNKNOWN, "", ""))
    told = event.part(name)
    if word == "Subscription" and _leaves(told):
        kind = EventType.UNSUBSCRIBED
    if word == "Complaint":
        kind = _complaint(told)
    if word == "Bounce" and told.text("bounceSubType") == HELD_BACK:
        kind = EventType.REJECTED
    tags, data = _labels(mail)
    for recipient in _recipients(word, told, whom, mail):
        yield tell(
            labels, now, kind, (told if told.text("timestamp") else mail).time("timestamp"), recipient,
            message_id=mail.text("messageId"),
            url=told.label("link"),
            tags=tags,
            data=data,
            ip=told.label("ipAddress"), agent=told.label("userAgent"),
            key=(post_id, recipient),
        )  # fmt: skip


def _leaves(told: Fields) -> bool:
    """Whether somebody left all topics, or one that they had not left before."""
    before, after = (told.part(f"{when}TopicPreferences") for when in ("old", "new"))
    return after.flag("unsubscribeAll") or bool(_left(after) - _left(before))


def _left(preferences: Fields) -> set[str | None]:
    topics = preferences.parts("topicSubscriptionStatus")
    return {each.text("topicName") for each in topics if each.text("subscriptionStatus") == "OptOut"}


def _complaint(told: Fields) -> EventType:
    """Nobody complains of what SES held back because they had before, or where they say that it is no spam."""
    if told.text("complaintSubType") == HELD_BACK:
        return EventType.REJECTED
    return EventType.UNKNOWN if told.text("complaintFeedbackType") == "not-spam" else EventType.COMPLAINED


def _recipients(word: str, told: Fields, whom: str, mail: Fields) -> list[str | None]:
    parts = told.parts(whom) if whom else []
    named = [address for each in parts if (address := each.text("emailAddress"))]
    named = named or (told.texts(whom) if whom and not parts else [])
    people: dict[str | None, str] = {}
    for each in named or mail.texts("destination"):
        people.setdefault(clean_recipient(each), each)
    if len(people) > 1 and not named and word not in OF_ALL:
        return [None]  # it was one of these, and isn't told which
    return list(people.values()) or [None]


def _labels(mail: Fields) -> tuple[list[str], dict[str, str]]:
    """The sender's own tags, and by name these and the mail's headers. SES's own say from where a mail was sent."""
    tags = {name: mail.part("tags").labels(name) for name in mail.part("tags").values if not name.startswith("ses:")}
    headers = {each.label("name") or "": each.label("value") or "" for each in mail.parts("headers")}
    return [value for each in tags.values() for value in each], headers | {
        name: values[0] for name, values in tags.items() if values
    }
