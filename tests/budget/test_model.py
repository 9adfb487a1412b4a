"""Whatever happens to money, the service does what a model in plain Python does."""

from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.budget.conftest import Person
from tests.budget.model import TELLING, Step, play, steps
from tests.budget.test_request import sound


@pytest.mark.parametrize("story", TELLING)
async def test_a_telling_story_does_too(budget: httpx.AsyncClient, person: Person, story: list[Step]) -> None:
    async def ask(who: str, method: str, path: str, **request: Any) -> httpx.Response:
        return await person(who).request(method, path, **request)

    await play(ask, story)
    await sound(budget)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(story=st.lists(steps, max_size=6))
async def test_any_story_leaves_what_the_model_has(
    budget: httpx.AsyncClient, person: Person, story: list[Step]
) -> None:
    async def ask(who: str, method: str, path: str, **request: Any) -> httpx.Response:
        return await person(who).request(method, path, **request)

    await play(ask, story)
    await sound(budget)
