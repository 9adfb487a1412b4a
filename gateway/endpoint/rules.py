"""Decides which events an endpoint is told of, what its secrets are, and when it is left alone."""

import base64
import secrets
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from chassis.errors import Conflict, Forbidden

SECRET_PREFIX = "whsec_"  # noqa: S105  # as Standard Webhooks has it
SECRET_BYTES = 32
# An endpoint that took nothing for so long is told of and left alone.
FAILING_FOR = timedelta(days=5)
ALL = "*"


class EndpointState(StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"
    PAUSED = "paused"


class PauseReason(StrEnum):
    FAILING = "failing"
    GONE = "gone"


def patterns_of(event_type: str) -> list[str]:
    """Whatever an endpoint may say to be told of a type: `*`, `goals.*`, `goals.goal.*`, `goals.goal.created`."""
    words = event_type.split(".")
    return [ALL, *(".".join([*words[:count], ALL]) for count in range(1, len(words))), event_type]


def meaningless(patterns: Sequence[str], types: Iterable[str]) -> list[int]:
    """Where patterns stand that fit none of the types."""
    known = {pattern for each in types for pattern in patterns_of(each)}
    return [place for place, pattern in enumerate(patterns) if pattern not in known]


def is_lost(failing_since: datetime | None, now: datetime) -> bool:
    """Whether it has failed for so long that nobody seems to look after it."""
    return failing_since is not None and now - failing_since >= FAILING_FOR


def new_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def shown(secret: bytes) -> str:
    """As receivers' libraries take it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def live_secrets(newest: bytes, older: bytes | None, older_ends_at: datetime | None, now: datetime) -> list[bytes]:
    """The secrets that sign now: the newest, and until it ends the one before."""
    return [newest, older] if older and older_ends_at and now < older_ends_at else [newest]


def assert_active(state: EndpointState) -> None:
    """Raises Conflict `endpoint_inactive` for one that is told nothing now."""
    if state is not EndpointState.ACTIVE:
        raise Conflict(f"the endpoint is {state}: enable it first", code="endpoint_inactive")


def refuse_beyond(parts: Collection[str], heard: Collection[str]) -> None:
    """Raises Forbidden for somebody who would have sent where they like what they couldn't read themselves."""
    if lacking := sorted(set(parts) - set(heard)):
        raise Forbidden(f"it is told of what you can't read: {' '.join(lacking)}", code="beyond_own")
