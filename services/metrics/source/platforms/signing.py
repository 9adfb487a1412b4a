"""Decides how secrets are compared, whatever the platform: in constant time, in one spelling, while they are fresh."""

import base64
import hmac
from datetime import datetime, timedelta

from chassis.errors import Invalid
from services.metrics.source.platforms.decoding import strict_base64
from services.metrics.source.platforms.platform import SHORTEST_SECRET, Credentials, Delivery, Platform

FIVE_MINUTES = timedelta(minutes=5)


def same(given: str, right: str) -> bool:
    """Whether the texts are equal, in a time that doesn't tell how far."""
    return hmac.compare_digest(given.encode(), right.encode())


def hex_hmac(key: str, *parts: bytes) -> str:
    """Lower-case hexadecimal HMAC-SHA256 of the parts in a row."""
    return hmac.digest(key.encode(), b"".join(parts), "sha256").hex()


def base64_hmac(key: bytes, signed: bytes, digest: str = "sha256") -> str:
    return base64.b64encode(hmac.digest(key, signed, digest)).decode()


def digits(text: str, *lengths: int) -> bool:
    """Whether the text is ASCII digits and nothing else, and of one of these lengths if any are named."""
    return text.isascii() and text.isdigit() and (not lengths or len(text) in lengths)


def recent(seconds: float, at: datetime, past: timedelta = FIVE_MINUTES, ahead: timedelta = FIVE_MINUTES) -> bool:
    """Whether an epoch lies so close around `at`."""
    return -ahead.total_seconds() <= at.timestamp() - seconds <= past.total_seconds()


def closed(body: bytes) -> bool:
    """Whether the body ends as JSON's objects and arrays do, so that nothing that is signed right after it could be
    moved into it, or out of it."""
    return body[-1:] in (b"}", b"]")


class BasicAuth(Platform):
    """A platform that signs nothing and is known by a user name and a password."""

    needs = ("username", "password")
    # A password that was mistyped is mended and the posts come again; 403 makes some give up.
    refuse_status = 401

    def check(self, credentials: Credentials) -> None:
        if not credentials["username"] or ":" in credentials["username"]:
            raise Invalid.field("credentials.username", "a user name has a character at least, and no colon")
        if len(credentials["password"]) < SHORTEST_SECRET:
            raise Invalid.field("credentials.password", f"a password has {SHORTEST_SECRET} characters at least")

    def verify(self, credentials: Credentials, delivery: Delivery) -> bool:
        scheme, _, given = delivery.headers.get("authorization", "").partition(" ")
        told = strict_base64(given)
        right = f"{credentials['username']}:{credentials['password']}".encode()
        return scheme.lower() == "basic" and told is not None and hmac.compare_digest(told, right)
