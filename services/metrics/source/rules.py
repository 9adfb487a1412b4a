"""Decides what a webhook's token is, and what a source must tell us before its posts can be trusted."""

import hashlib
import secrets
from enum import StrEnum


class PlatformName(StrEnum):
    SENDGRID = "sendgrid"
    STANDARD = "standard"


def new_token() -> str:
    """256 random bits: whoever knows the URL may knock, the signature decides who is let in."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> bytes:
    """SHA-256 is enough: 256 random bits can't be guessed, slowly or fast."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
