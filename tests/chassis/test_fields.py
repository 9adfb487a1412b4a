"""What values at the edges promise."""

from decimal import Decimal
from zoneinfo import available_timezones

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from chassis.fields import Money, UtcDatetime, Zone, holds_nul, new_id
from chassis.testing import TestStack


def test_ids_are_version_7_and_rise_with_age() -> None:
    made = [new_id() for _ in range(1000)]
    assert all(each.version == 7 and each.variant == "specified in RFC 4122" for each in made)
    assert [each.int >> 64 for each in made] == sorted(each.int >> 64 for each in made)
    assert len(set(made)) == len(made)


@given(st.integers(-(10**14), 10**14), st.sampled_from(["EUR", "JPY", "KWD", "USD"]))
def test_money_comes_back_from_minor_units_as_it_went(minor: int, currency: str) -> None:
    assert Money.of_minor(minor, currency).minor == minor


@pytest.mark.parametrize(("amount", "currency"), [("0.001", "EUR"), ("1.5", "JPY"), ("1", "XYZ"), ("NaN", "EUR")])
def test_money_that_does_not_exist_is_refused(amount: str, currency: str) -> None:
    with pytest.raises(ValidationError):
        Money(amount=Decimal(amount), currency=currency)


def test_a_time_needs_its_offset_and_is_answered_in_utc() -> None:
    times = TypeAdapter(UtcDatetime)
    with pytest.raises(ValidationError):
        times.validate_python("2026-03-01T12:00:00")
    assert times.dump_json(times.validate_python("2026-03-01T12:00:00+02:00")) == b'"2026-03-01T10:00:00Z"'


def test_a_zone_is_one_that_exists() -> None:
    zones = TypeAdapter(Zone)
    assert zones.validate_python("Europe/Berlin") == "Europe/Berlin"
    with pytest.raises(ValidationError):
        zones.validate_python("Europe/Atlantis")


@pytest.mark.parametrize("zone", ["localtime", "Factory"])
def test_a_machines_own_setting_is_no_zone(zone: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Zone).validate_python(zone)


async def test_postgres_knows_every_zone(stack: TestStack) -> None:
    admin = await asyncpg.connect(stack.admin_dsn)
    known = {row["name"] for row in await admin.fetch("SELECT name FROM pg_timezone_names")}
    await admin.close()
    zones = TypeAdapter(Zone)
    assert {zones.validate_python(each) for each in available_timezones() - {"localtime", "Factory"}} <= known


@pytest.mark.parametrize("value", ["a\0", ["x", "\0"], {"k": {"deep": ["\0"]}}, {"\0": 1}])
def test_a_nul_is_found_wherever_it_hides(value: object) -> None:
    assert holds_nul(value)
    assert not holds_nul({"a": ["b", 1, None], "c": {"d": "e"}})
