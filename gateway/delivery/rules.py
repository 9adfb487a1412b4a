"""Decides when what wasn't taken is told again, what an answer means, and how a post is signed."""

import base64
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
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
# Who answers so may say when to come back; later than that nobody is made to wait.
BUSY = (429, 503)
LONGEST_ASKED = max(WAITS)
HTTP_DATE = "%a, %d %b %Y %H:%M:%S GMT"


class DeliveryState(StrEnum):
    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


def next_wait(attempts: int, chance: float, asked: timedelta | None = None) -> timedelta | None:
    """How long to wait after so many attempts, all failed; None when that was the last. `chance` is from 0 to 1;
    `asked` is how long the receiver wants to be left alone, which makes it later and never sooner."""
    if attempts >= MOST_ATTEMPTS:
        return None
    wait = WAITS[attempts - 1] * (1 + JITTER * (2 * chance - 1))
    return wait if asked is None else max(wait, min(asked, LONGEST_ASKED / (1 + JITTER)) * (1 + JITTER * chance))


def asked_wait(status: int, retry_after: str | None, now: datetime) -> timedelta | None:
    """What `Retry-After` asks for where it means anything to us: seconds, or a date."""
    if status not in BUSY or retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return timedelta(seconds=int(retry_after)) if len(retry_after) < 10 else LONGEST_ASKED
    try:
        until = datetime.strptime(retry_after, HTTP_DATE).replace(tzinfo=UTC)
    except ValueError:
        return None
    return max(until - now, timedelta(0))


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
