"""What holds of decisions that are committed together: each is answered as if it had come alone."""

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from chassis.errors import Unavailable
from chassis.testing import statements
from services.budget.request import together
from services.budget.request.together import Together, Waiting, take
from tests.budget.conftest import Person
from tests.budget.test_ledger import allot
from tests.budget.test_plan import open_line
from tests.budget.test_request import act, ask, pots, sound
from tests.parts import Workspace


@pytest.fixture
async def line(budget: httpx.AsyncClient) -> dict[str, Any]:
    """A `stop` line with 100 euros."""
    line = await open_line(budget, low_percent=0)
    await allot(budget, line, "100")
    return line


def waiting(request_id: int, key: int | None) -> Waiting:
    """Somebody, as far as the queue looks at them."""
    ask: Any = SimpleNamespace(request_id=UUID(int=request_id))
    headers = [] if key is None else [(b"idempotency-key", str(key).encode())]
    answer: Any = None
    return Waiting(ask, Request({"type": "http", "headers": headers}), answer)


@given(st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 9)), max_size=200))
def test_batches_keep_the_order_and_have_no_request_and_no_key_twice(asked: list[tuple[int, int | None]]) -> None:
    lane = deque(waiting(*each) for each in asked)
    whole, taken = list(lane), list[Waiting]()
    while lane:
        batch = take(lane)
        keys = [each.key for each in batch if each.key is not None]
        assert 1 <= len({each.ask.request_id for each in batch}) == len(batch) <= together.MOST
        assert len(set(keys)) == len(keys)
        taken += batch
    assert taken == whole


async def test_what_the_database_refuses_of_one_costs_no_other(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any], apps: dict[str, FastAPI], workspace: Workspace
) -> None:
    asked = [await ask(person("ada"), line, "9") for _ in range(6)]
    async with apps["budget"].state.database.tenant(workspace.id) as session:
        worn = text("UPDATE request SET version = 2147483647 WHERE id = :id")
        await session.execute(worn, {"id": UUID(asked[3]["id"])})
    answers = await asyncio.gather(*(act(person("bob"), each, "approve") for each in asked))
    assert [answer.status_code for answer in answers] == [200, 200, 200, 422, 200, 200]
    assert (await pots(budget, line))["reserved"] == "45.00"
    assert len((await budget.get("/v1/decisions")).json()["items"]) == 5
    await sound(budget)


async def test_what_is_held_is_never_held_again_whatever_a_row_says(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any], apps: dict[str, FastAPI], workspace: Workspace
) -> None:
    request = await ask(person("ada"), line, "9")
    assert (await act(person("bob"), request, "approve")).status_code == 200
    async with apps["budget"].state.database.tenant(workspace.id) as session:
        back = text("UPDATE request SET state = 'submitted', layers_done = 0 WHERE id = :id")
        await session.execute(back, {"id": UUID(request["id"])})
    assert (await act(person("cat"), request, "approve")).status_code == 409
    assert (await pots(budget, line))["reserved"] == "9.00"
    await sound(budget)


async def test_who_hangs_up_has_decided_and_hears_of_it_by_their_key(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any], apps: dict[str, FastAPI]
) -> None:
    request, bob = await ask(person("ada"), line, "9"), person("bob")
    path, key = f"/v1/requests/{request['id']}/approve", {"Idempotency-Key": "patience"}
    with statements(apps["budget"].state.database) as seen:
        first = asyncio.create_task(bob.post(path, headers=key))
        while not seen and not first.done():  # noqa: ASYNC110  # nothing tells when the first statement is made
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
    again = await bob.post(path, headers=key)
    assert (first.cancelled(), again.status_code, again.headers["Idempotency-Replayed"]) == (True, 200, "true")
    assert (await pots(budget, line))["reserved"] == "9.00"


async def test_what_a_full_queue_refuses_is_undecided_and_may_come_again(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "MOST_QUEUED", 1)
    asked = [await ask(person("ada"), line, "9") for _ in range(8)]
    refused = set()
    while asked:
        answers = await asyncio.gather(*(act(person("bob"), each, "approve") for each in asked))
        refused |= {(answer.status_code, answer.json()["code"]) for answer in answers if answer.status_code != 200}
        asked = [each for each, answer in zip(asked, answers, strict=True) if answer.status_code != 200]
    assert refused == {(503, "queue_full")}
    assert (await pots(budget, line))["reserved"] == "72.00"


async def test_a_process_that_stops_takes_no_more(apps: dict[str, FastAPI], workspace: Workspace) -> None:
    stopping, late = Together(apps["budget"].state.database), waiting(1, None)
    await stopping.close()
    with pytest.raises(Unavailable):
        await stopping.decide(workspace.id, late.request, late.ask)
