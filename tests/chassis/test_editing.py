"""What an edit promises, shown on budget lines: nobody overwrites what they haven't seen, and nothing else changes."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError

from chassis.editing import Patch, edited
from chassis.fields import Input, Interval, Name, Readable
from tests.budget.test_plan import LINE, open_line, wrong_fields


class TripCreate(Input):
    name: Name
    code: str
    notes: str | None = None
    days: Interval


class TripPatch(Patch, of=TripCreate, without={"code"}):
    """What may change of a trip."""


class TripRead(Readable):
    name: str
    code: str
    notes: str | None
    days: Interval
    version: int = Field(1)


TRIP = TripRead(
    name="A", code="a", notes="n", days=Interval.model_validate({"start": "2026-01-01", "end": "2026-02-01"})
)


def test_a_patch_asks_for_nothing_and_shows_no_defaults() -> None:
    schema = TripPatch.model_json_schema()
    assert "required" not in schema
    assert set(schema["properties"]) == {"name", "notes", "days"}
    assert all("default" not in field for field in schema["properties"].values())


def test_what_is_not_sent_stays() -> None:
    after = edited(TripCreate, TRIP, TripPatch.model_validate({"name": "B"}))
    assert (after.name, after.code, after.notes, after.days) == ("B", "a", "n", TRIP.days)


def test_null_clears_what_may_be_null() -> None:
    assert edited(TripCreate, TRIP, TripPatch.model_validate({"notes": None})).notes is None


@pytest.mark.parametrize("patch", [{"name": None}, {"name": ""}, {"code": "b"}, {"days": {"start": "2026-03-01"}}])
def test_a_patch_is_as_strict_as_what_it_patches(patch: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TripPatch.model_validate(patch)


def test_a_patch_with_a_nul_in_it_is_refused() -> None:
    with pytest.raises(ValidationError, match="NUL"):
        TripPatch.model_validate({"name": "a\0b"})


class RangeCreate(Input):
    low: int
    high: int = Field(ge=0)

    def model_post_init(self, _: Any) -> None:
        if self.high < self.low:
            raise ValueError("high is at least low")


class RangePatch(Patch, of=RangeCreate):
    """Either end."""


class RangeRead(Readable):
    low: int
    high: int


def test_a_field_that_does_not_go_with_one_that_stays_is_refused() -> None:
    with pytest.raises(RequestValidationError):
        edited(RangeCreate, RangeRead(low=3, high=5), RangePatch.model_validate({"high": 2}))


async def edit(budget: httpx.AsyncClient, line: dict[str, Any], changes: Any, version: Any = None) -> httpx.Response:
    headers = {"If-Match": f'"{line["version"] if version is None else version}"'}
    return await budget.patch(f"/v1/lines/{line['id']}", json=changes, headers=headers)


async def test_an_edit_raises_the_version_and_changes_nothing_else(budget: httpx.AsyncClient) -> None:
    line = await open_line(budget)
    answer = await edit(budget, line, {"name": "Mail"})
    assert answer.status_code == 200, answer.text
    assert answer.json() == line | {"name": "Mail", "version": 2}
    assert (await budget.get(f"/v1/lines/{line['id']}")).json() == answer.json()


async def test_an_edit_says_which_version_it_edits(budget: httpx.AsyncClient) -> None:
    line = await open_line(budget)
    answer = await budget.patch(f"/v1/lines/{line['id']}", json={"name": "Mail"})
    assert (answer.status_code, answer.json()["code"]) == (428, "version_required")


async def test_an_edit_of_an_older_version_changes_nothing(budget: httpx.AsyncClient) -> None:
    line = await open_line(budget)
    await edit(budget, line, {"name": "Mail"})
    answer = await edit(budget, line, {"department": "brand"})
    assert (answer.status_code, answer.json()["code"], answer.headers["etag"]) == (412, "stale", '"2"')
    assert (await budget.get(f"/v1/lines/{line['id']}")).json()["department"] == LINE["department"]


@pytest.mark.parametrize("named", ['"1"', "1", 'W/"1"', '"7", "1"', "*"])
async def test_a_version_may_be_named_in_every_usual_way(budget: httpx.AsyncClient, named: str) -> None:
    line = await open_line(budget)
    answer = await budget.patch(f"/v1/lines/{line['id']}", json={"name": "Mail"}, headers={"If-Match": named})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("named", ["", '"x"', "1;2", '"-1"', "१"])
async def test_what_is_no_version_is_refused(budget: httpx.AsyncClient, named: str) -> None:
    line = await open_line(budget)
    headers = {"If-Match": named.encode()}
    answer = await budget.patch(f"/v1/lines/{line['id']}", json={"name": "Mail"}, headers=headers)  # type: ignore[arg-type]
    assert wrong_fields(answer) == ["If-Match"]


async def test_of_many_editors_of_one_version_one_wins(budget: httpx.AsyncClient) -> None:
    line = await open_line(budget)
    answers = await asyncio.gather(*(edit(budget, line, {"name": f"Name {n}"}) for n in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    (winner,) = (answer.json() for answer in answers if answer.status_code == 200)
    assert (await budget.get(f"/v1/lines/{line['id']}")).json() == winner


async def test_an_edit_sent_again_with_its_key_gets_the_first_answer(budget: httpx.AsyncClient) -> None:
    line = await open_line(budget)
    headers = {"If-Match": '"1"', "Idempotency-Key": "once"}
    first, again = [
        await budget.patch(f"/v1/lines/{line['id']}", json={"name": "Mail"}, headers=headers) for _ in range(2)
    ]
    assert (first.status_code, again.status_code, again.json()) == (200, 200, first.json())


async def test_an_edit_that_changes_nothing_keeps_the_version(budget: httpx.AsyncClient) -> None:
    line = await open_line(budget)
    assert (await edit(budget, line, {})).json() == line
    assert (await edit(budget, line, {"name": line["name"]})).json() == line


async def test_money_that_moves_is_no_edit(budget: httpx.AsyncClient) -> None:
    line = await open_line(budget)
    await budget.post(f"/v1/lines/{line['id']}/allot", json={"amount": {"amount": "5", "currency": "EUR"}})
    assert (await edit(budget, line, {"name": "Mail"})).status_code == 200
