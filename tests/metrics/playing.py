"""Decides how a test plays each e-mail platform: with which credentials, and how it posts what it has to say."""

import base64
import hashlib
import hmac
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, ClassVar
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from standardwebhooks import Webhook

from services.metrics.source.platforms.platform import Delivery

Json = Any
URL = "https://events.example.com/v1/webhooks/kq3"
JUNE = 1780315200  # 2026-06-01T12:00:00Z
JUNE_ISO = "2026-06-01T12:00:00Z"


@dataclass(frozen=True)
class Sent:
    """One post as it goes over the wire."""

    headers: Mapping[str, str]
    body: bytes

    def to(self, url: str, at: datetime, certificate: bytes = b"") -> Delivery:
        lower = {name.lower(): value for name, value in self.headers.items()}
        return Delivery("POST", url, lower, self.body, at, certificate)

    def with_header(self, name: str, value: str | None) -> "Sent":
        headers = {each: v for each, v in self.headers.items() if each != name}
        return replace(self, headers=headers if value is None else {**headers, name: value})


class Player(ABC):
    """One account at a platform. `number` makes another one, with secrets of its own."""

    name: ClassVar[str]
    # Headers whose change in any character makes a forgery.
    signed: tuple[str, ...] = ()
    # Whether every character of the body is covered by a signature.
    covers_body: ClassVar[bool] = True
    certificate: bytes = b""

    def __init__(self, number: int = 0) -> None:
        self.number = number

    def secret(self, what: str = "secret") -> str:
        return hashlib.sha256(f"{self.name} {what} {self.number}".encode()).hexdigest()[:32]

    @abstractmethod
    def credentials(self) -> dict[str, Any]: ...

    @abstractmethod
    def one(self, address: str, at: int, message: str, tag: str) -> Json:
        """What it says of somebody who opened a message (or of what is nearest to that), at this second."""

    def pack(self, payload: Json, url: str, at: datetime, nonce: int = 0) -> Sent:
        """A post of this payload; another `nonce` makes another signature, where it is over more than the payload."""
        return self.sign(json.dumps(payload, ensure_ascii=False).encode(), url, at, nonce)

    @abstractmethod
    def sign(self, body: bytes, url: str, at: datetime, nonce: int = 0) -> Sent: ...

    def many(self, events: list[Json]) -> list[Json]:
        """Payloads that hold these events: as one batch, where the platform has batches."""
        return [events]


class SendgridPlayer(Player):
    name = "sendgrid"
    signed = ("X-Twilio-Email-Event-Webhook-Signature", "X-Twilio-Email-Event-Webhook-Timestamp")

    @property
    def key(self) -> ec.EllipticCurvePrivateKey:
        return _ec_key(self.number)

    def credentials(self) -> dict[str, Any]:
        der = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return {"public_key": base64.b64encode(der).decode()}

    def one(self, address: str, at: int, message: str, tag: str) -> Json:
        return {"event": "open", "email": address, "timestamp": at, "sg_message_id": message, "category": [tag]}

    def sign(self, body: bytes, url: str, at: datetime, nonce: int = 0) -> Sent:
        timestamp = str(int(at.timestamp()) + nonce)
        signature = base64.b64encode(self.key.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))).decode()
        return Sent(dict(zip(self.signed, (signature, timestamp), strict=True)), body)


@cache
def _ec_key(number: int) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


class MailgunPlayer(Player):
    name = "mailgun"
    covers_body = False

    def credentials(self) -> dict[str, Any]:
        return {"signing_key": self.secret()}

    def one(self, address: str, at: int, message: str, tag: str) -> Json:
        event_id = hashlib.sha256(f"{address} {at} {message}".encode()).hexdigest()[:22]
        return {
            "event": "opened", "id": event_id, "timestamp": float(at), "recipient": address, "tags": [tag],
            "message": {"headers": {"message-id": message}},
        }  # fmt: skip

    def signature(self, at: datetime, nonce: int) -> dict[str, str]:
        timestamp, token = str(int(at.timestamp())), hashlib.sha256(str(nonce).encode()).hexdigest()[:50]
        signed = hmac.new(self.secret().encode(), (timestamp + token).encode(), hashlib.sha256).hexdigest()
        return {"timestamp": timestamp, "token": token, "signature": signed}

    def pack(self, payload: Json, url: str, at: datetime, nonce: int = 0) -> Sent:
        return _json({"signature": self.signature(at, nonce), "event-data": payload})

    def sign(self, body: bytes, url: str, at: datetime, nonce: int = 0) -> Sent:
        signature = json.dumps(self.signature(at, nonce))
        return Sent({}, b'{"signature": ' + signature.encode() + b', "event-data": ' + body + b"}")

    def legacy(self, fields: list[tuple[str, str]], at: datetime, nonce: int = 0) -> Sent:
        return _form([*fields, *self.signature(at, nonce).items()])

    def multipart(self, fields: list[tuple[str, str]], at: datetime, nonce: int, boundary: str) -> Sent:
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in [*fields, *self.signature(at, nonce).items()]
        ]
        kind = f"multipart/form-data; boundary={boundary}"
        return Sent({"Content-Type": kind}, ("".join(parts) + f"--{boundary}--\r\n").encode())

    def many(self, events: list[Json]) -> list[Json]:
        return events


class MandrillPlayer(Player):
    name = "mandrill"
    signed = ("X-Mandrill-Signature",)

    def credentials(self) -> dict[str, Any]:
        return {"webhook_key": self.secret()}

    def one(self, address: str, at: int, message: str, tag: str) -> Json:
        return {"event": "open", "_id": message, "ts": at, "msg": {"_id": message, "email": address, "tags": [tag]}}

    def pack(self, payload: Json, url: str, at: datetime, nonce: int = 0) -> Sent:
        return self.form([("mandrill_events", json.dumps(payload, ensure_ascii=False))], url)

    def form(self, fields: list[tuple[str, str]], url: str) -> Sent:
        signed = url + "".join(name + value for name, value in sorted(fields))
        signature = hmac.new(self.secret().encode(), signed.encode(), hashlib.sha1).digest()
        return _form(fields).with_header("X-Mandrill-Signature", base64.b64encode(signature).decode())

    def sign(self, body: bytes, url: str, at: datetime, nonce: int = 0) -> Sent:
        return self.form([("mandrill_events", body.decode("latin-1"))], url)


class MailchimpPlayer(Player):
    name = "mailchimp"
    covers_body = False

    def credentials(self) -> dict[str, Any]:
        return {}

    def one(self, address: str, at: int, message: str, tag: str) -> Json:
        moment = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
        return {
            "type": "unsubscribe", "fired_at": moment, "data[email]": address, "data[list_id]": message,
            "data[campaign_id]": tag, "data[action]": "unsub", "data[reason]": "manual",
        }  # fmt: skip

    def pack(self, payload: Json, url: str, at: datetime, nonce: int = 0) -> Sent:
        return _form(list(payload.items()))

    def sign(self, body: bytes, url: str, at: datetime, nonce: int = 0) -> Sent:
        return Sent({"Content-Type": "application/x-www-form-urlencoded"}, body)

    def many(self, events: list[Json]) -> list[Json]:
        return events


class BasicPlayer(Player):
    """A platform that is known by a user name and a password."""

    signed = ("Authorization",)
    covers_body = False

    def credentials(self) -> dict[str, Any]:
        return {"username": f"mops{self.number}", "password": self.secret()}

    def sign(self, body: bytes, url: str, at: datetime, nonce: int = 0) -> Sent:
        pair = ":".join(self.credentials().values()).encode()
        return Sent({"Authorization": f"Basic {base64.b64encode(pair).decode()}"}, body)


class PostmarkPlayer(BasicPlayer):
    name = "postmark"

    def one(self, address: str, at: int, message: str, tag: str) -> Json:
        return {
            "RecordType": "Open", "MessageID": message, "Recipient": address, "Tag": tag,
            "ReceivedAt": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.0000000Z"),
        }  # fmt: skip

    def many(self, events: list[Json]) -> list[Json]:
        return events


class BrevoPlayer(BasicPlayer):
    name = "brevo"

    def one(self, address: str, at: int, message: str, tag: str) -> Json:
        return {"event": "opened", "email": address, "message-id": message, "ts_epoch": at * 1000, "tags": [tag]}


class MailjetPlayer(BasicPlayer):
    name = "mailjet"

    def one(self, address: str, at: int, message: str, tag: str) -> Json:
        return {"event": "open", "time": at, "MessageID": message, "email": address, "customcampaign": tag}


class SparkpostPlayer(BasicPlayer):
    name = "sparkpost"

    def one(self, address: str, at: int, message: str, tag: str) -> Json:
        event = {
            "type": "open", "event_id": f"{at}{message}", "timestamp": str(at), "rcpt_to": address,
            "message_id": message, "campaign_id": tag,
        }  # fmt: skip
        return {"msys": {"track_event": event}}


class StandardPlayer(Player):
    name = "standard"
    prefix = "webhook"

    def __init__(self, number: int = 0) -> None:
        super().__init__(number)
        self.signed = tuple(f"{self.prefix}-{each}" for each in ("id", "timestamp", "signature"))

    def credentials(self) -> dict[str, Any]:
        return {"signing_secret": f"whsec_{base64.b64encode(self.secret().encode()).decode()}"}

    def one(self, address: str, at: int, message: str, tag: str) -> Json:
        moment = datetime.fromtimestamp(at, UTC).isoformat()
        return {"type": "opened", "recipient": address, "message_id": message, "occurred_at": moment, "tags": [tag]}

    def sign(self, body: bytes, url: str, at: datetime, nonce: int = 0) -> Sent:
        post_id, moment = f"msg_{nonce}", str(int(at.timestamp()))
        try:  # by the reference implementation, which takes text alone
            signature = Webhook(self.credentials()["signing_secret"]).sign(post_id, at, body.decode())
        except UnicodeDecodeError:
            key = self.secret().encode()
            digest = hmac.new(key, f"{post_id}.{moment}.".encode() + body, hashlib.sha256).digest()
            signature = f"v1,{base64.b64encode(digest).decode()}"
        return Sent(dict(zip(self.signed, (post_id, moment, signature), strict=True)), body)


class ResendPlayer(StandardPlayer):
    name = "resend"
    prefix = "svix"

    def one(self, address: str, at: int, message: str, tag: str) -> Json:
        moment = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        data = {"email_id": message, "to": [address], "tags": {"campaign": tag}}
        return {"type": "email.opened", "created_at": moment, "data": data}

    def pack(self, payload: Json, url: str, at: datetime, nonce: int = 0) -> Sent:
        # An event keeps its id, whenever it is sent.
        body = json.dumps(payload, ensure_ascii=False).encode()
        return self.sign(body, url, at, int.from_bytes(hashlib.sha256(body).digest()[:6], "big"))

    def many(self, events: list[Json]) -> list[Json]:
        return events


class HubspotPlayer(Player):
    name = "hubspot"
    signed = ("X-HubSpot-Signature-v3", "X-HubSpot-Request-Timestamp")

    def credentials(self) -> dict[str, Any]:
        return {"client_secret": self.secret()}

    def one(self, address: str, at: int, message: str, tag: str) -> Json:
        return {
            "eventId": at, "subscriptionId": 1, "portalId": 2, "occurredAt": at * 1000,
            "subscriptionType": "contact.creation", "attemptNumber": 0, "objectId": f"{message}.{address}",
        }  # fmt: skip

    def sign(self, body: bytes, url: str, at: datetime, nonce: int = 0) -> Sent:
        moment = str(int(at.timestamp() * 1000) + nonce % 1000)
        signed = f"POST{url}".encode() + body + moment.encode()
        signature = base64.b64encode(hmac.new(self.secret().encode(), signed, hashlib.sha256).digest()).decode()
        return Sent(dict(zip(self.signed, (signature, moment), strict=True)), body)


class KlaviyoPlayer(Player):
    name = "klaviyo"
    signed = ("Klaviyo-Signature", "Klaviyo-Timestamp", "Klaviyo-Webhook-Id")

    def credentials(self) -> dict[str, Any]:
        return {"signing_secret": self.secret()}

    def one(self, address: str, at: int, message: str, tag: str) -> Json:
        about = {"Recipient Email Address": address, "Campaign Name": tag, "$message": message}
        told = {"type": "event", "attributes": {"timestamp": at, "event_properties": about}}
        return {
            "topic": "event:klaviyo.opened_email", "external_id": f"{address}{at}{message}", "payload": {"data": told},
        }  # fmt: skip

    def pack(self, payload: Json, url: str, at: datetime, nonce: int = 0) -> Sent:
        told = {"data": payload, "meta": {"klaviyo_webhook_id": "01HQ", "timestamp": at.isoformat()}}
        return super().pack(told, url, at, nonce)

    def sign(self, body: bytes, url: str, at: datetime, nonce: int = 0) -> Sent:
        moment = (at + timedelta(microseconds=nonce % 1000)).isoformat()
        signature = hmac.new(self.secret().encode(), body + moment.encode(), hashlib.sha256).hexdigest()
        return Sent(dict(zip(self.signed, (signature, moment, "01HQ"), strict=True)), body)


class CustomerioPlayer(Player):
    name = "customerio"
    signed = ("X-CIO-Signature", "X-CIO-Timestamp")

    def credentials(self) -> dict[str, Any]:
        return {"signing_key": self.secret()}

    def one(self, address: str, at: int, message: str, tag: str) -> Json:
        return {
            "event_id": f"{address}{at}{message}", "object_type": "email", "metric": "opened", "timestamp": at,
            "data": {"recipient": address, "delivery_id": message, "campaign_id": tag},
        }  # fmt: skip

    def sign(self, body: bytes, url: str, at: datetime, nonce: int = 0) -> Sent:
        moment = str(int(at.timestamp()) + nonce % 100)
        signed = hmac.new(self.secret().encode(), f"v0:{moment}:".encode() + body, hashlib.sha256).hexdigest()
        return Sent(dict(zip(self.signed, (signed, moment), strict=True)), body)

    def many(self, events: list[Json]) -> list[Json]:
        return events


class SesPlayer(Player):
    name = "ses"
    covers_body = False  # SNS signs what the envelope says, not how it is written down
    version = "2"

    @property
    def certificate(self) -> bytes:  # type: ignore[override]
        return certificate(self.number)[1]

    @property
    def topic(self) -> str:
        return f"arn:aws:sns:eu-west-1:12345678901{self.number % 10}:mail-events"

    def credentials(self) -> dict[str, Any]:
        return {"topic_arns": [self.topic]}

    def one(self, address: str, at: int, message: str, tag: str) -> Json:
        moment = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return {
            "eventType": "Open", "open": {"timestamp": moment, "ipAddress": "192.0.2.1", "userAgent": "Mail"},
            "mail": {
                "messageId": message, "timestamp": moment, "destination": [address], "tags": {"campaign": [tag]},
            },
        }  # fmt: skip

    def pack(self, payload: Json, url: str, at: datetime, nonce: int = 0) -> Sent:
        return self.sign(json.dumps(payload, ensure_ascii=False).encode(), url, at, nonce)

    def sign(self, body: bytes, url: str, at: datetime, nonce: int = 0) -> Sent:
        message = body.decode("utf-8", "replace")
        post_id = hashlib.sha256(body).hexdigest()[:32]
        return self.envelope({"Type": "Notification", "MessageId": post_id, "Message": message}, at)

    def envelope(self, said: dict[str, str], at: datetime) -> Sent:
        """Signed over the canonical text as SNS's documentation has it, written here apart from ours."""
        said = {
            "TopicArn": self.topic, "Timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "SignatureVersion": self.version,
            "SigningCertURL": f"https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-{self.number:032x}.pem",
            **said,
        }  # fmt: skip
        names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
        text = "".join(f"{name}\n{said[name]}\n" for name in names if name in said)
        key = certificate(self.number)[0]
        digest = SHA256() if self.version == "2" else SHA1()
        said["Signature"] = base64.b64encode(key.sign(text.encode(), padding.PKCS1v15(), digest)).decode()
        return Sent({"Content-Type": "text/plain; charset=UTF-8"}, json.dumps(said).encode())

    def many(self, events: list[Json]) -> list[Json]:
        return events


@cache
def certificate(number: int) -> tuple[rsa.RSAPrivateKey, bytes]:
    """A key, and a certificate of it as SNS hands them out."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1000 + number).not_valid_before(datetime(2020, 1, 1)).not_valid_after(datetime(2040, 1, 1))
        .sign(key, SHA256())
    )  # fmt: skip
    return key, made.public_bytes(Encoding.PEM)


def _json(payload: Json) -> Sent:
    return Sent({"Content-Type": "application/json"}, json.dumps(payload, ensure_ascii=False).encode())


def _form(fields: list[tuple[str, str]]) -> Sent:
    return Sent({"Content-Type": "application/x-www-form-urlencoded"}, urlencode(fields).encode())


PLAYERS: dict[str, type[Player]] = {
    player.name: player
    for player in (
        SendgridPlayer, MailgunPlayer, MailchimpPlayer, MandrillPlayer, PostmarkPlayer, SesPlayer, BrevoPlayer,
        MailjetPlayer, SparkpostPlayer, ResendPlayer, StandardPlayer, HubspotPlayer, KlaviyoPlayer, CustomerioPlayer,
    )
}  # fmt: skip
