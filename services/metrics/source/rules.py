"""Decides what a webhook's token is, which states a source has, and which field of an event names its campaign."""

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from urllib.parse import parse_qsl, urlsplit

from chassis.errors import Conflict
from services.metrics.event.rules import NO_TRAPS, Traps


class PlatformName(StrEnum):
    SENDGRID = "sendgrid"
    MAILGUN = "mailgun"
    MAILCHIMP = "mailchimp"
    MANDRILL = "mandrill"
    POSTMARK = "postmark"
    SES = "ses"
    BREVO = "brevo"
    MAILJET = "mailjet"
    SPARKPOST = "sparkpost"
    RESEND = "resend"
    STANDARD = "standard"
    HUBSPOT = "hubspot"
    KLAVIYO = "klaviyo"
    CUSTOMERIO = "customerio"


class SourceState(StrEnum):
    # Its URL is known and answers checks, but its platform has yet to show the secret that it signs with.
    AWAITING = "awaiting"
    ACTIVE = "active"
    # The platform is asked to come again later.
    PAUSED = "paused"
    REVOKED = "revoked"


MOVES: Mapping[SourceState, frozenset[SourceState]] = {
    SourceState.AWAITING: frozenset({SourceState.ACTIVE, SourceState.REVOKED}),
    SourceState.ACTIVE: frozenset({SourceState.PAUSED, SourceState.REVOKED}),
    SourceState.PAUSED: frozenset({SourceState.ACTIVE, SourceState.REVOKED}),
    SourceState.REVOKED: frozenset(),
}


def moved(now: SourceState, to: SourceState) -> SourceState:
    """The state a source comes to; Conflict when there is no way. To be there already is fine."""
    if to is not now and to not in MOVES[now]:
        raise Conflict(f"a source that is {now} can't become {to}", code=f"source_{now}")
    return to


def assert_usable(state: SourceState) -> None:
    """Conflict `source_revoked` for a source that ended."""
    if state is SourceState.REVOKED:
        raise Conflict("this source is revoked; connect a new one", code="source_revoked")


def assert_has_credentials(state: SourceState) -> None:
    """Conflict `source_awaiting` for a source that nothing could be believed of yet."""
    if state is SourceState.AWAITING:
        raise Conflict("this source awaits its credentials: send them to rotate", code="source_awaiting")


def new_token() -> str:
    """256 random bits: whoever knows the URL may knock, the signature decides who is let in."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> bytes:
    """SHA-256 is enough: 256 random bits can't be guessed, slowly or fast."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


# What may decide the campaign: the platform's tags or categories, one of the sender's own values (custom arguments,
# metadata, headers), or what the link that was clicked says.
TAGS, DATA, UTM_CAMPAIGN = "tags", "data", "utm_campaign"
LABEL = re.compile(rf"{TAGS}|{UTM_CAMPAIGN}|{DATA}\.[^\x00]{{1,100}}")
BY_TAGS = [TAGS]
LONGEST_LABEL = 300


@dataclass(frozen=True)
class Labels:
    """Where a source's events say which campaign they belong to, the most telling first; and what gives a machine
    away."""

    fields: tuple[str, ...] = (TAGS,)
    traps: Traps = NO_TRAPS

    @cached_property
    def wants_data(self) -> bool:
        return any(field.startswith(f"{DATA}.") for field in self.fields)

    def of(self, tags: Sequence[str], data: Mapping[str, str], url: str | None) -> list[str]:
        """What an event says, in that order: the first that is a campaign's slug decides."""
        if self.fields == (TAGS,):
            return list(tags)
        found: list[str] = []
        for field in self.fields:
            if field == TAGS:
                found += tags
            elif field == UTM_CAMPAIGN:
                found += _short(_utm_campaigns(url))
            else:
                found += _short([data.get(field.removeprefix(f"{DATA}."), "")])
        return found


def _short(values: list[str]) -> list[str]:
    # What isn't meant as a tag may be anything: too long to be a slug, it is none, and the event is whole without it.
    return [value for value in values if len(value) <= LONGEST_LABEL and "\0" not in value]


def _utm_campaigns(url: str | None) -> list[str]:
    with suppress(ValueError):
        query = urlsplit(url or "").query
        return [value for name, value in parse_qsl(query, max_num_fields=200) if name == "utm_campaign"][:1]
    return []


def unknown_labels(fields: Sequence[str], gives: frozenset[str]) -> list[str]:
    """Those that can't decide anything, as there is no such field or the platform doesn't tell it."""
    return [each for each in fields if not LABEL.fullmatch(each) or each.partition(".")[0] not in gives]
