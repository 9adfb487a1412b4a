"""Decides who is posted to at the same time: a receiver that is slow takes its own time, and nobody else's."""

from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

QUICK_SECONDS = 2.0
# As each look for what is due asks about all of them. Beyond it, who has nothing under way has to show it again.
MOST_QUICK = 1_000


@dataclass
class Places:
    """What one process has under way. A receiver has one place until it has shown to answer quickly, then several; and
    all that haven't shown it share half of the room, so that the other half is always there for the quick."""

    most: int = 256
    each: int = 4
    quick: set[UUID] = field(default_factory=set)
    taken: dict[UUID, UUID] = field(default_factory=dict)

    def take(self, delivery_id: UUID, endpoint_id: UUID) -> None:
        self.taken[delivery_id] = endpoint_id

    def leave(self, delivery_id: UUID, seconds: float) -> None:
        """It was answered, or wasn't, after so long."""
        endpoint_id = self.taken.pop(delivery_id)
        if seconds <= QUICK_SECONDS:
            if len(self.quick) >= MOST_QUICK:
                self.quick.intersection_update(self.taken.values())
            self.quick.add(endpoint_id)
        else:
            self.quick.discard(endpoint_id)

    @property
    def free(self) -> int:
        return self.most - len(self.taken)

    @property
    def free_for_slow(self) -> int:
        """Of these, how many may go to receivers that haven't shown to be quick."""
        slow = sum(endpoint_id not in self.quick for endpoint_id in self.taken.values())
        return max(0, min(self.most // 2 - slow, self.free))

    def free_by_endpoint(self) -> dict[UUID, int]:
        """How many more each may have, of those that are known; any other one."""
        busy = Counter(self.taken.values())
        known = self.quick | busy.keys()
        return {each: max(0, (self.each if each in self.quick else 1) - busy[each]) for each in known}
