"""Decides what a token grants, for how long, and how a request for one is refused (RFC 6749)."""

from collections.abc import Sequence
from datetime import timedelta

from gateway.identity.key.rules import LONGEST_TOKEN

CLIENT_LIFETIME = LONGEST_TOKEN
SERVICE_LIFETIME = timedelta(minutes=5)
CLIENT_CREDENTIALS = "client_credentials"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
OPERATOR = "operator"


class Refusal(Exception):
    """No token: an `error` of RFC 6749, 5.2, and words for a person."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status


def granted(allowed: frozenset[str], asked: Sequence[str]) -> list[str]:
    """The scopes of a token: all that are allowed, or those asked for; refused when one isn't allowed."""
    beyond = sorted(set(asked) - allowed)
    if beyond:
        raise Refusal("invalid_scope", f"these scopes are not to be had: {' '.join(beyond)[:200]}")
    return sorted(set(asked) or allowed)
