"""What a campaign's states and dates promise, whatever happens to it."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import Conflict, Invalid
from services.goals.campaign.rules import (
    CLOSED,
    DATED,
    MOVES,
    CampaignState,
    CampaignVerb,
    Flight,
    assert_ahead,
    assert_movable,
    due_state,
    moved,
)

DAYS = st.dates(date(2020, 1, 1), date(2035, 1, 1))
FLIGHTS = st.builds(lambda start, length: Flight(start, start + timedelta(length)), DAYS, st.integers(1, 400))
STATES = st.sampled_from(CampaignState)
TODAY = date(2026, 6, 15)


def test_every_state_but_the_first_is_reached_by_some_verb() -> None:
    assert {target for _, target in MOVES.values()} == set(CampaignState) - {CampaignState.IDEA}


@given(STATES, st.sampled_from(CampaignVerb))
def test_a_verb_leads_where_it_says_or_nowhere(state: CampaignState, verb: CampaignVerb) -> None:
    sources, target = MOVES[verb]
    if state in sources:
        assert moved(state, verb) is target
    else:
        with pytest.raises(Conflict, match=state):
            moved(state, verb)


@given(st.sampled_from(sorted(set(CampaignState) - {CampaignState.CANCELLED})))
def test_anything_can_be_cancelled_once(state: CampaignState) -> None:
    assert moved(state, CampaignVerb.CANCEL) is CampaignState.CANCELLED
    with pytest.raises(Conflict):
        moved(CampaignState.CANCELLED, CampaignVerb.CANCEL)


@given(STATES, FLIGHTS, DAYS)
def test_dates_settle_after_two_steps_and_never_open_what_is_closed(
    state: CampaignState, flight: Flight, today: date
) -> None:
    steps = 0
    while (after := due_state(state, flight, today)) is not None:
        assert state in DATED
        state, steps = after, steps + 1
    assert steps <= 2
    if state is CampaignState.APPROVED:
        assert today < flight.start
    if state in {CampaignState.LIVE, CampaignState.PAUSED}:
        assert today < flight.end
    if steps:
        assert state in CLOSED | {CampaignState.LIVE}


def test_a_flight_begins_on_its_first_day_and_is_over_on_the_day_that_no_longer_counts() -> None:
    flight = Flight(TODAY, TODAY + timedelta(1))
    yesterday, tomorrow = TODAY - timedelta(1), TODAY + timedelta(1)
    assert due_state(CampaignState.APPROVED, flight, yesterday) is None
    assert due_state(CampaignState.APPROVED, flight, TODAY) is CampaignState.LIVE
    assert due_state(CampaignState.LIVE, flight, TODAY) is None
    assert due_state(CampaignState.LIVE, flight, tomorrow) is CampaignState.COMPLETED
    assert_ahead(flight, TODAY)
    with pytest.raises(Conflict):
        assert_ahead(flight, tomorrow)


@given(STATES, FLIGHTS, FLIGHTS, DAYS)
def test_a_move_never_changes_the_past(state: CampaignState, old: Flight, new: Flight, today: date) -> None:
    try:
        assert_movable(state, old, new, today)
    except Invalid:
        assert state in DATED
        return
    if state in DATED and new != old:
        assert new.end > today
    if state in {CampaignState.LIVE, CampaignState.PAUSED}:
        assert new.start == old.start
