"""Decides which ways of failing the product has, independent of HTTP and of any library."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FieldError:
    """One field that is wrong: `field` as the caller spelled it (`flight.end`), a stable `code`, words for a person."""

    field: str
    code: str
    message: str


class MopsError(Exception):
    """An answer that isn't a success. `code` is stable and lower_snake_case; `detail` is for a person, and `facts` are
    the same for a machine: members of the problem beside the usual ones."""

    def __init__(
        self, detail: str, *, code: str | None = None, errors: tuple[FieldError, ...] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.errors = errors
        self.facts = facts or {}

    default_code = "error"


class Invalid(MopsError):
    """The request can't be understood or breaks a rule by itself: change it before you try again."""

    default_code = "invalid"

    @classmethod
    def field(cls, field: str, message: str, code: str = "invalid") -> "Invalid":
        return cls(message, errors=(FieldError(field, code, message),))


class Unauthenticated(MopsError):
    """No token, or one that can't be trusted."""

    default_code = "unauthenticated"


class Forbidden(MopsError):
    """The caller is known and may not do this."""

    default_code = "forbidden"


class NotFound(MopsError):
    """There is no such thing, or it is another workspace's: both look the same."""

    default_code = "not_found"


class Conflict(MopsError):
    """The request is sound, but not in the state that things are in now."""

    default_code = "conflict"


class Stale(MopsError):
    """The caller has seen an older version of what it wants to change: `current` is the one there is now."""

    default_code = "stale"

    def __init__(self, detail: str, *, current: int) -> None:
        super().__init__(detail)
        self.current = current


class VersionRequired(MopsError):
    """An edit must say which version it edits."""

    default_code = "version_required"


class Unavailable(MopsError):
    """Not now: try again after `retry_after` seconds."""

    default_code = "unavailable"

    def __init__(self, detail: str, *, code: str | None = None, retry_after: int = 1) -> None:
        super().__init__(detail, code=code)
        self.retry_after = retry_after
