"""Decides which events somebody hears of, and why hearing ends."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

EVERY = ".*"


@dataclass(frozen=True)
class Wanted:
    """What somebody listens for. None: whatever it is."""

    parts: frozenset[str]
    types: frozenset[str] | None = None
    subject: str | None = None

    def wants(self, part: str, kind: str, subject: str) -> bool:
        """Whether an event is told: only ever one of a part that may be read."""
        return (
            part in self.parts
            and (self.types is None or kind in self.types)
            and (self.subject is None or subject == self.subject)
        )


def named(types: Iterable[str], known: Collection[str]) -> tuple[frozenset[str], list[str]]:
    """The known types that are meant, `goals.*` being all that begin so; and what means none."""
    found, unknown = set[str](), []
    for each in types:
        meant = (
            {kind for kind in known if kind.startswith(each.removesuffix("*"))} if each.endswith(EVERY) else {each}
        ) & set(known)
        found |= meant
        if not meant:
            unknown.append(each)
    return frozenset(found), unknown


@dataclass(frozen=True)
class End:
    """Why somebody hears no more: as an error, and as the code that a socket is closed with. Clients come back by
    themselves after all of these; `is_final` where they need another token first."""

    code: str
    words: str
    close: int
    is_final: bool = False


EXPIRED = End("UNAUTHENTICATED", "the token has expired: come back with another one", 4403, is_final=True)
SUSPENDED = End("FORBIDDEN", "the workspace is suspended", 4403, is_final=True)
FELL_BEHIND = End("FELL_BEHIND", "read faster, and go on after the last cursor", 4508)
AWAY = End("UNAVAILABLE", "the database is away: go on after the last cursor in a moment", 1013)
LEAVING = End("GOING_AWAY", "this process ends: go on elsewhere after the last cursor", 1012)
