"""Decides how a post that is signed as Standard Webhooks has it is trusted (standardwebhooks.com)."""

from functools import lru_cache

from chassis.errors import Invalid
from services.metrics.source.platforms.decoding import strict_base64
from services.metrics.source.platforms.platform import Credentials, Delivery, Platform
from services.metrics.source.platforms.signing import base64_hmac, digits, recent, same

PREFIX = "whsec_"
KEY_BYTES = range(16, 65)
# Svix signs in the same way under its own names.
NAMES = ("webhook", "svix")


class StandardWebhooks(Platform):
    """HMAC-SHA256 over `id.timestamp.body`, not older or newer than five minutes."""

    needs = ("signing_secret",)

    def check(self, credentials: Credentials) -> None:
        if _key(credentials["signing_secret"]) is None:
            raise Invalid.field("credentials.signing_secret", "not whsec_ and then base64 of 16 to 64 bytes")

    def verify(self, credentials: Credentials, delivery: Delivery) -> bool:
        key, headers = _key(credentials["signing_secret"]), delivery.headers
        name = next((name for name in NAMES if f"{name}-signature" in headers), None)
        if key is None or name is None:
            return False
        message_id, timestamp = headers.get(f"{name}-id", ""), headers.get(f"{name}-timestamp", "")
        # Only one of the two is signed: beside it, the other's id would make another event of what was sent before.
        if any(headers.get(f"{each}-id", message_id) != message_id for each in NAMES):
            return False
        # A full stop inside would let text move between the id, the time and the body under one signature.
        if not message_id or "." in message_id or not message_id.isascii() or not digits(timestamp):
            return False
        if len(timestamp) > 12 or not recent(int(timestamp), delivery.at):
            return False
        right = "v1," + base64_hmac(key, b".".join((message_id.encode(), timestamp.encode(), delivery.body)))
        return any(same(each, right) for each in headers[f"{name}-signature"].split(" "))


def message_id_of(delivery: Delivery) -> str:
    """The id under which an authentic post came, the same whenever it is sent again."""
    return next(value for name in NAMES if (value := delivery.headers.get(f"{name}-id")))


@lru_cache(maxsize=1000)
def _key(secret: str) -> bytes | None:
    key = strict_base64(secret.removeprefix(PREFIX)) if secret.startswith(PREFIX) else None
    return key if key is not None and len(key) in KEY_BYTES else None
