"""Decides how what must stay secret is kept at rest: sealed for one row, or hashed under a key of our own."""

import base64
import binascii
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

KEY_BYTES = 32
NONCE_BYTES = 12
# What a sealed value begins with, so that another cipher or key can follow without guessing.
VERSION = b"\x01"


class SealBrokenError(Exception):
    """A sealed value was changed, was moved from another row, or was sealed under another key."""


def subkey(secret_key: SecretStr, purpose: str) -> bytes:
    """32 bytes for one purpose alone (HKDF-SHA256), so that no two uses share a key.

    `secret_key` is Settings.secret_key: base64 of 32 bytes. ValueError when it isn't.
    """
    try:
        master = base64.b64decode(secret_key.get_secret_value(), validate=True)
    except binascii.Error:
        master = b""
    if len(master) != KEY_BYTES:
        raise ValueError(f"MOPS_SECRET_KEY must be base64 of {KEY_BYTES} random bytes")
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"mops:{purpose}".encode()).derive(master)


class Sealer:
    """Encrypts small secrets with AES-256-GCM under a purpose's key."""

    def __init__(self, secret_key: SecretStr, purpose: str) -> None:
        self._cipher = AESGCM(subkey(secret_key, purpose))

    def seal(self, plain: bytes, place: str) -> bytes:
        """`place` names the row: what is sealed for one can't be opened in another."""
        nonce = os.urandom(NONCE_BYTES)
        return VERSION + nonce + self._cipher.encrypt(nonce, plain, place.encode())

    def open(self, sealed: bytes, place: str) -> bytes:
        """What was sealed for this place; SealBrokenError otherwise."""
        version, nonce, content = sealed[:1], sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        if version != VERSION:
            raise SealBrokenError("sealed by an unknown version")
        try:
            return self._cipher.decrypt(nonce, content, place.encode())
        except InvalidTag:
            raise SealBrokenError("doesn't open here") from None


def keyed_hash(key: bytes, text: str) -> bytes:
    """HMAC-SHA256 of a text: finds it again, and tells nothing of it to whoever lacks the key."""
    return hmac.digest(key, text.encode(), "sha256")
