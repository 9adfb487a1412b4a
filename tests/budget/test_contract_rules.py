"""What a contract's dates do, whatever they are."""

from datetime import date, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chassis.errors import Conflict, Invalid
from services.budget.contract.rules import (
    ContractState,
    NoticeUnit,
    Step,
    Terms,
    assert_terms,
    day_of_month,
    due_step,
    holds_money,
    months_later,
    next_date,
)
from services.budget.renewal.rules import DecisionKind, decided

DAYS = st.dates(date(2000, 1, 1), date(2100, 1, 1))


def terms(start: str = "2026-01-01", end: str = "2027-01-01", **changes: object) -> Terms:
    first, last = date.fromisoformat(start), date.fromisoformat(end)
    given = {
        "auto_renews": True, "renewal_months": 12, "notice_count": 3, "notice_unit": NoticeUnit.MONTHS, "lead_days": 30,
    } | changes  # fmt: skip
    return Terms(first, last, day_of_month(first, last), **given)  # type: ignore[arg-type]


@st.composite
def any_terms(draw: st.DrawFn) -> Terms:
    start = draw(DAYS)
    end = start + timedelta(days=draw(st.integers(1, 2000)))
    return Terms(
        start, end, day_of_month(start, end), draw(st.booleans()), draw(st.integers(1, 60)), draw(st.integers(0, 24)),
        draw(st.sampled_from(NoticeUnit)), draw(st.integers(0, 365)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("day", "months", "on", "found"),
    [
        ("2026-01-31", 1, 31, "2026-02-28"),
        ("2028-01-31", 1, 31, "2028-02-29"),
        ("2026-02-28", 1, 31, "2026-03-31"),
        ("2026-05-31", -3, 31, "2026-02-28"),
        ("2026-12-15", 1, 15, "2027-01-15"),
        ("2026-01-15", -1, 15, "2025-12-15"),
    ],
)
def test_a_shorter_month_s_last_day_stands_for_what_it_lacks(day: str, months: int, on: int, found: str) -> None:
    assert months_later(date.fromisoformat(day), months, on) == date.fromisoformat(found)


@given(DAYS, st.integers(1, 24), st.integers(1, 30))
@example(date(2026, 1, 31), 1, 3)
@example(date(2028, 2, 29), 12, 4)
def test_terms_that_turn_again_and_again_never_drift(start: date, months: int, turns: int) -> None:
    end = months_later(start, months, start.day)
    found, turns_on = end, day_of_month(start, end)
    for _ in range(turns):
        found = months_later(found, months, turns_on)
    assert found == months_later(start, months * (turns + 1), start.day)


def test_the_clock_runs_to_the_notice_deadline_and_deciding_begins_before_it() -> None:
    found = terms()
    assert (found.opens, found.deadline, found.next_end) == (date(2026, 9, 1), date(2026, 10, 1), date(2028, 1, 1))
    assert terms(notice_count=30, notice_unit=NoticeUnit.DAYS).deadline == date(2026, 12, 2)


@given(any_terms())
def test_the_window_opens_no_later_than_the_deadline_and_that_is_no_later_than_the_end(found: Terms) -> None:
    assert found.opens <= found.deadline <= found.end < found.next_end


@given(any_terms(), st.sampled_from(ContractState), st.booleans(), st.integers(-800, 800))
def test_nothing_is_due_before_its_day_and_something_is_from_that_day_on(
    found: Terms, state: ContractState, missed: bool, days: int
) -> None:
    today = found.end + timedelta(days=days)
    day = next_date(state, found, missed=missed)
    assert (due_step(state, found, today, missed=missed) is not None) == (day is not None and day <= today)


@pytest.mark.parametrize(
    ("state", "day", "missed", "step"),
    [
        (ContractState.ACTIVE, "2026-08-31", False, None),
        (ContractState.ACTIVE, "2026-09-01", False, Step.OPEN),
        (ContractState.NOTICE_WINDOW, "2026-09-30", False, None),
        (ContractState.NOTICE_WINDOW, "2026-10-01", False, Step.MISS),
        (ContractState.NOTICE_WINDOW, "2026-12-31", True, None),
        (ContractState.NOTICE_WINDOW, "2027-01-01", True, Step.LAPSE),
        (ContractState.RENEWED, "2026-12-31", False, None),
        (ContractState.RENEWED, "2027-01-01", False, Step.TURN),
        (ContractState.TERMINATED, "2030-01-01", False, None),
        (ContractState.LAPSED, "2030-01-01", True, None),
    ],
)
def test_each_date_does_one_thing(state: ContractState, day: str, missed: bool, step: Step | None) -> None:
    assert due_step(state, terms(), date.fromisoformat(day), missed=missed) is step


@pytest.mark.parametrize(
    ("state", "kind", "day", "by_default", "auto_renews", "found"),
    [
        ("active", "renew", "2026-06-01", False, True, "renewed"),
        ("notice_window", "terminate", "2026-09-30", False, True, "terminated"),
        ("notice_window", "terminate", "2026-10-01", False, True, "deadline_missed"),
        ("notice_window", "terminate", "2026-10-01", False, False, "terminated"),
        ("notice_window", "renegotiate", "2026-12-31", False, False, "renewed"),
        ("notice_window", "renew", "2027-01-01", False, False, "over"),
        ("renewed", "terminate", "2026-09-30", False, True, "terminated"),
        ("renewed", "renegotiate", "2026-10-01", False, True, "decided"),
        ("renewed", "renew", "2026-11-01", True, True, "renewed"),
        ("renewed", "terminate", "2026-11-01", True, True, "deadline_missed"),
        ("terminated", "renew", "2026-09-30", False, True, "renewed"),
        ("terminated", "renew", "2026-10-01", False, True, "decided"),
        ("lapsed", "renew", "2026-06-01", False, False, "over"),
    ],
)
def test_who_decides_in_time_may_decide_otherwise_and_who_is_late_is_told_why(
    state: str, kind: str, day: str, by_default: bool, auto_renews: bool, found: str
) -> None:
    try:
        answer = decided(
            ContractState(state), DecisionKind(kind), terms(auto_renews=auto_renews), date.fromisoformat(day),
            by_default=by_default,
        ).value  # fmt: skip
    except Conflict as refusal:
        answer = refusal.code
    assert answer == found


def test_money_is_held_just_while_nobody_has_decided() -> None:
    holding = {state for state in ContractState if holds_money(state, by_default=False)}
    assert holding == {ContractState.NOTICE_WINDOW}
    assert holds_money(ContractState.RENEWED, by_default=True)


@pytest.mark.parametrize(("changes", "field"), [({"end": "2026-06-15"}, "term.end"), ({"notice_count": 13}, "notice")])
def test_terms_that_could_not_be_left_in_time_are_refused(changes: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        assert_terms(terms(**changes), date(2026, 6, 15))  # type: ignore[arg-type]
    assert refusal.value.errors[0].field == field
