"""Decides how much of the graph one client may ask for: so many objects a minute, whether or not there are any."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

# Those who asked last are remembered; whoever is forgotten has their whole allowance again.
REMEMBERED_CLIENTS = 10_000


class Exhausted(Exception):
    """The client has used up what it may ask for; `seconds` until this query is within it again."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@dataclass
class _Left:
    objects: float
    at: float


class Allowance:
    """What each client has left: it grows back steadily, up to a minute's worth. Each replica counts for itself."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = per_minute
        self._clock = clock
        self._left: OrderedDict[str, _Left] = OrderedDict()

    def take(self, client: str, objects: int) -> None:
        """Takes a query's cost from what the client has left. Raises Exhausted when it isn't there. A query that costs
        more than all that one may have is answered to who has all."""
        now = self._clock()
        left = self._left.pop(client, None) or _Left(self._most, now)
        left.objects = min(self._most, left.objects + (now - left.at) * self._most / 60)
        left.at = now
        self._left[client] = left
        if len(self._left) > REMEMBERED_CLIENTS:
            self._left.popitem(last=False)
        wanted = min(objects, self._most)
        if wanted > left.objects:
            raise Exhausted((wanted - left.objects) * 60 / self._most)
        left.objects -= wanted
