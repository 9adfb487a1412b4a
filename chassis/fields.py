"""Decides the shapes that values have at the edges: ids, times, money, ratios, text."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache, lru_cache
from itertools import repeat
from operator import attrgetter
from typing import Annotated, Any, ClassVar, Self, TypeVar
from uuid import UUID
from zoneinfo import available_timezones

from babel.numbers import get_currency_precision, list_currencies
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from sqlmodel import SQLModel


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562): 48 bits of milliseconds, 12 bits of their fraction, 62 random bits.

    The fraction keeps ids of one process in the order they were made, so that a list by id is a list by age.
    """
    nanoseconds = time.time_ns()
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    fraction = rest * 4096 // 1_000_000
    random = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1)
    return UUID(int=(milliseconds << 80) | (0x7 << 76) | (fraction << 64) | (0b10 << 62) | random)


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("give the time with its offset, for example 2026-03-01T12:00:00Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("this time is out of range") from None


def rfc3339(moment: datetime) -> str:
    """`2026-03-01T12:00:00.5Z` style text of an aware datetime."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


UtcDatetime = Annotated[datetime, AfterValidator(_utc)]


@cache
def _known_zones() -> set[str]:
    # Listing them walks through the system's folders. What isn't a place but a machine's own setting is another on the
    # next machine, and none to Postgres: a statement over all workspaces would fail for one that had it.
    return available_timezones() - {"localtime", "Factory"}


def _known_zone(name: str) -> str:
    if name not in _known_zones():
        raise ValueError("not an IANA time zone, for example Europe/Berlin")
    return name


def _known_currency(code: str) -> str:
    if code not in list_currencies():
        raise ValueError("not an ISO 4217 currency, for example EUR")
    return code


Zone = Annotated[str, AfterValidator(_known_zone), Field(examples=["Europe/Berlin"])]
Currency = Annotated[
    str, StringConstraints(pattern=r"^[A-Z]{3}$"), AfterValidator(_known_currency), Field(examples=["EUR"])
]
Slug = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9]+(?:[-_][a-z0-9]+)*$", min_length=1, max_length=100),
    Field(examples=["spring-launch-2026"]),
]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Words = Annotated[str, StringConstraints(max_length=10_000)]
Territory = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$"), Field(examples=["DE"])]


def _plain(number: Decimal) -> str:
    return format(number, "f")


DecimalText = Annotated[
    Decimal,
    Field(allow_inf_nan=False, max_digits=30, decimal_places=10),
    PlainSerializer(_plain, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "decimal", "examples": ["25"]}),
]


def holds_nul(value: Any) -> bool:
    """Whether any text in a decoded JSON value holds a NUL, however deep it is nested."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str) and "\0" in each:
            return True
        if isinstance(each, dict):
            waiting += [*each, *each.values()]
        elif isinstance(each, list):
            waiting += each
    return False


def refuse_nul(value: Any) -> Any:
    """The value; ValueError if a text in it holds a NUL, which Postgres can't store."""
    if holds_nul(value):
        raise ValueError("holds a NUL character")
    return value


class Input(SQLModel):
    """What a caller sends: unknown fields are refused, and so is NUL."""

    model_config = ConfigDict(extra="forbid")  # type: ignore[assignment]  # SQLModel narrows the type

    @field_validator("*", mode="before")
    @classmethod
    def _no_nul(cls, value: Any) -> Any:
        return refuse_nul(value)


FIRST_DAY, LAST_DAY = date(1990, 1, 1), date(2200, 1, 1)


def _plausible(day: date) -> date:
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ValueError(f"days are from {FIRST_DAY} to {LAST_DAY}")
    return day


# A day that a span of days may begin or end with: no zone's midnight there is out of range.
Day = Annotated[date, AfterValidator(_plausible)]


class Interval(Input):
    """Half-open span of days in the workspace's zone: `start` counts, `end` doesn't."""

    start: Day = Field(description="First day that counts.", examples=["2026-03-01"])
    end: Day = Field(description="First day that no longer counts.", examples=["2026-06-01"])

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.end <= self.start:
            raise ValueError("end must be after start")
        return self

    @classmethod
    def of(cls, start: date, end: date) -> "Interval":
        """Of two days that are kept, and so were checked when they came in."""
        return bare(cls, {"start": start, "end": end})


# By ISO 4217, where what CLDR (and so babel) shows has fewer decimals than banks and invoices count.
_PLACES = dict.fromkeys(("AFN", "ALL", "IRR", "KPW", "LAK", "LBP", "MGA", "MMK", "RSD", "SOS", "SYP", "YER"), 2)
_PLACES["IQD"] = 3


@cache
def places_of(currency: str) -> int:
    """How many decimals a currency has: what its minor unit is of it."""
    return _PLACES.get(currency, int(get_currency_precision(currency)))


# What Postgres's bigint holds.
MOST_MINOR = 2**63 - 1


class Money(Input):
    """An amount with its currency: `{"amount": "1234.50", "currency": "EUR"}`. Kept as integer minor units."""

    amount: Annotated[
        Decimal,
        Field(allow_inf_nan=False, max_digits=18),
        PlainSerializer(_plain, return_type=str, when_used="json"),
        WithJsonSchema({"type": "string", "format": "decimal", "examples": ["1234.50"]}),
    ]
    currency: Currency

    @model_validator(mode="after")
    def _whole_minor_units(self) -> Self:
        places = places_of(self.currency)
        minor = self.amount.scaleb(places)
        if minor != minor.to_integral_value():
            raise ValueError(f"{self.currency} has {places} decimal places at most")
        if abs(minor) > MOST_MINOR:
            raise ValueError("more than can be kept")
        return self

    @property
    def minor(self) -> int:
        return int(self.amount.scaleb(places_of(self.currency)))

    @classmethod
    def of_minor(cls, minor: int, currency: str) -> "Money":
        places = places_of(currency)
        # Unchecked: a sum may have more digits than one amount that a caller may send.
        return cls.model_construct(
            amount=Decimal(minor).scaleb(-places).quantize(Decimal(1).scaleb(-places)), currency=currency
        )


# In a read model: what an edit of it names.
Version = Annotated[int, Field(description="Rises with each change; send it as If-Match to edit just this.")]


class Readable(BaseModel):
    """What a caller gets: built from rows, or from anything with the same attributes."""

    model_config = ConfigDict(from_attributes=True)
    # The field that says whose it is, which every answer holds.
    IDENTITY: ClassVar[str] = "id"

    @classmethod
    def of(cls, row: Any, *, only: frozenset[str] | None = None, **derived: Any) -> Self:
        """From a row's attributes, and from `derived` what isn't on it; of the fields in `only`, if given.

        Nothing is checked: what is kept was checked when it came in.
        """
        (made,) = cls.of_all([row], only, {name: [value] for name, value in derived.items()})
        return made

    @classmethod
    def of_all(
        cls, rows: Sequence[Any], only: frozenset[str] | None, derived: Mapping[str, Sequence[Any]]
    ) -> list[Self]:
        """The same of many rows at once, with a value for each of them in each of `derived`."""
        names, read = _attributes(cls, only, *derived)
        beside = [name for name in derived if only is None or name in only]
        columns = zip(*(derived[name] for name in beside), strict=True) if beside else repeat(())
        names = (*names, *beside)
        # The names go with what the getter reads, one for one: to check it would take a fifth of all this.
        return [bare(cls, dict(zip(names, (*read(row), *more)))) for row, more in zip(rows, columns)]  # noqa: B905


ModelType = TypeVar("ModelType", bound=BaseModel)


def bare(kind: type[ModelType], values: dict[str, Any]) -> ModelType:
    """An instance with just these values: what `model_construct` makes, in a tenth of its time."""
    made = object.__new__(kind)
    object.__setattr__(made, "__dict__", values)
    object.__setattr__(made, "__pydantic_fields_set__", set(values))
    object.__setattr__(made, "__pydantic_extra__", None)
    object.__setattr__(made, "__pydantic_private__", None)
    return made


@lru_cache(maxsize=1000)
def _attributes(
    kind: type[Readable], only: frozenset[str] | None, *derived: str
) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """Which fields are read from a row, and what reads them."""
    names = tuple(name for name in kind.model_fields if name not in derived and (only is None or name in only))
    if len(names) < 2:  # an attrgetter of one name gives its value, and of none isn't
        return names, lambda row: tuple(getattr(row, name) for name in names)
    return names, attrgetter(*names)
