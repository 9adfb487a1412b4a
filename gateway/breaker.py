"""Decides whether a service is asked at all: not while it is known to be away, but for one try every so often."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway.failures import Away, Refused

# So many failures in a row, and no success between them.
FAILURES = 5
# Between two tries of a service that is away; what it costs a caller to learn that it is back.
PAUSE_SECONDS = 1.0


class Open(Exception):
    """The service isn't asked now."""


class Breaker:
    """One service's."""

    def __init__(self, ticks: Callable[[], float]) -> None:
        self._ticks = ticks
        self._failures = 0
        self._tried = 0.0

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Around one call: raises Open instead of letting it through, and learns how it ends. Only Away speaks against
        the service. An answer, a refusal too, makes good for all before; a cancellation says nothing."""
        if self._failures >= FAILURES:
            if self._ticks() - self._tried < PAUSE_SECONDS:
                raise Open
            self._tried = self._ticks()
        try:
            yield
        except Away:
            self._failures += 1
            if self._failures == FAILURES:
                self._tried = self._ticks()
            raise
        except Refused:
            self._failures = 0
            raise
        self._failures = 0
