"""Decides when what wasn't taken is told again, what an answer means, and how a post is signed."""

import base64
import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from chassis.errors import Conflict

# How long after each failure it is tried again: eight attempts over about 28 hours.
WAITS = (
    timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=5),
    timedelta(hours=10), timedelta(hours=10),
)  # fmt: skip
MOST_ATTEMPTS = len(WAITS) + 1
# So that what failed together doesn't come back together.
JITTER = 0.1
GONE = 410


class DeliveryState(StrEnum):
    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


def next_wait(attempts: int, chance: float) -> timedelta | None:
    """How long to wait after so many attempts, all failed; None when that was the last. `chance` is from 0 to 1."""
    if attempts >= MOST_ATTEMPTS:
        return None
    return WAITS[attempts - 1] * (1 + JITTER * (2 * chance - 1))


def is_taken(status: int) -> bool:
    return 200 <= status < 300


def words_of_status(status: int) -> str:
    """Why an answer isn't a success; of what else it says nothing is kept."""
    if status == GONE:
        return "it answered 410: it wants no more"
    return f"it answered {status}, a redirect, which isn't followed" if 300 <= status < 400 else f"it answered {status}"


def sign(secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """What `webhook-signature` holds: a signature by each live secret."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join("v1," + base64.b64encode(hmac.digest(each, signed, "sha256")).decode() for each in secrets)


def assert_idle(leased_until: datetime | None, now: datetime) -> None:
    """Raises Conflict `under_way` while it is being told."""
    if leased_until is not None and leased_until > now:
        raise Conflict("it is being told just now", code="under_way")
