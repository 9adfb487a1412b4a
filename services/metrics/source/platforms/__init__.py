"""Decides what every platform's module answers, and which there are."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from services.metrics.event.rules import Reading
from services.metrics.source.platforms.sendgrid import Sendgrid
from services.metrics.source.platforms.standard import Standard
from services.metrics.source.rules import PlatformName


class Platform(Protocol):
    """One e-mail platform: what it signs, what it sends, and on which answer it tries again."""

    needs: tuple[str, ...]
    """The credentials that a source of it is made with."""

    retry_status: int
    """The status on which it sends a post again."""

    def check(self, credentials: Mapping[str, str]) -> None:
        """Invalid, naming the field, when a credential can't be one."""

    def verify(self, credentials: Mapping[str, str], headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
        """Whether the post's exact bytes were signed with these credentials."""

    def read(self, body: bytes, now: datetime) -> Reading:
        """What an authentic post says. Never raises: what can't be read is part of the reading."""


PLATFORMS: Mapping[PlatformName, Platform] = {
    PlatformName.SENDGRID: Sendgrid(),
    PlatformName.STANDARD: Standard(),
}
