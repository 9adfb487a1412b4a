"""Decides how the certificates that platforms sign with are fetched: once each, and not many of them."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from chassis.errors import Unavailable
from chassis.outside import Outside, RefusedError, UnreachableError

REMEMBERED = 64
# Whoever makes up names of certificates can't make us ask for more than a few of them.
FAILED_SECONDS = 60.0
MOST_FETCHES, FETCH_SECONDS = 20, 60.0


class Certificates:
    """Documents by their URL. A certificate never changes under its name, so that what was fetched stays."""

    def __init__(self, outside: Outside, clock: Callable[[], float] = time.monotonic) -> None:
        self._outside = outside
        self._clock = clock
        self._found: OrderedDict[str, bytes] = OrderedDict()
        self._failed: OrderedDict[str, float] = OrderedDict()
        self._fetches: list[float] = []
        self._one = asyncio.Lock()

    async def get(self, url: str) -> bytes:
        """The document; empty where nobody should go, Unavailable when it can't be had now."""
        if (found := self._known(url)) is not None:
            return found
        async with self._one:
            if (found := self._known(url)) is not None:
                return found
            if self._failed.get(url, 0.0) > self._clock() or not self._may():
                raise Unavailable("the platform's certificate can't be had now; send it again", code="no_certificate")
            try:
                document = await self._outside.get(url)
            except RefusedError:
                return b""
            except UnreachableError:
                self._keep(self._failed, url, self._clock() + FAILED_SECONDS)
                raise Unavailable(
                    "the platform's certificate can't be had now; send it again", code="no_certificate"
                ) from None
            self._keep(self._found, url, document)
            return document

    def _known(self, url: str) -> bytes | None:
        if url in self._found:
            self._found.move_to_end(url)
        return self._found.get(url)

    def _may(self) -> bool:
        since = self._clock() - FETCH_SECONDS
        self._fetches = [each for each in self._fetches if each > since]
        if len(self._fetches) >= MOST_FETCHES:
            return False
        self._fetches.append(self._clock())
        return True

    @staticmethod
    def _keep(kept: "OrderedDict[str, Any]", url: str, value: object) -> None:
        kept[url] = value
        if len(kept) > REMEMBERED:
            kept.popitem(last=False)
