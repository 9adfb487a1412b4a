"""What every list promises: an index for whatever it is sorted, filtered or grouped by; just the fields asked for."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant

from chassis.listing import Rows, list_routes
from chassis.testing import Clock, TestStack, statements
from tests.parts import APPS

CAMPAIGN = {"name": "A", "slug": "a", "channels": ["email"], "flight": {"start": "2026-03-01", "end": "2026-04-01"}}
GOAL = {
    "title": "More clicks", "metric": {"key": "email.total_clicks"}, "kind": "reach", "target": {"value": 5},
    "window": {"start": "2026-01-01", "due": "2027-01-01"},
}  # fmt: skip


def rows_of(dependant: Dependant) -> Iterator[Rows[Any]]:
    for each in dependant.dependencies:
        if isinstance(found := getattr(each.call, "rows", None), Rows):
            yield found
        yield from rows_of(each)


LISTS = [
    (part, route.name, rows)
    for part, app in APPS.items()
    for route in list_routes(app)
    for rows in rows_of(route.dependant)
]


def test_the_lists_are_found() -> None:
    names = {name for _, name, _ in LISTS}
    assert {"list_campaigns", "list_goals", "list_assets", "list_lines", "list_events", "list_quarantine"} <= names


@pytest.fixture(scope="module")
async def indexes(stack: TestStack) -> set[tuple[str, str, str]]:
    """(schema, table, column or columns) of every index over a workspace's rows that begins with these."""
    connection = await asyncpg.connect(stack.admin_dsn)
    found = await connection.fetch("""
        SELECT n.nspname, t.relname, a.attname, b.attname FROM pg_index i
        JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
        JOIN pg_attribute w ON w.attrelid = t.oid AND w.attnum = i.indkey[0] AND w.attname = 'workspace_id'
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[1]
        LEFT JOIN pg_attribute b ON b.attrelid = t.oid AND b.attnum = i.indkey[2]
        WHERE i.indpred IS NULL
    """)
    await connection.close()
    return {(part, table, first) for part, table, first, _ in found} | {
        (part, table, f"{first}, {second}") for part, table, first, second in found
    }


@pytest.mark.parametrize(("part", "name", "rows"), LISTS, ids=[name for _, name, _ in LISTS])
async def test_what_a_list_is_sorted_filtered_or_grouped_by_has_an_index(
    indexes: set[tuple[str, str, str]], part: str, name: str, rows: Rows[Any]
) -> None:
    columns = [getattr(rows.model, each) for each in ("id", *rows.sort, *rows.by)]
    columns += [parent.column for parent in rows.parents.values()]
    # What is by itself the key of its table is one.
    columns = [each for each in columns if each.table.primary_key.columns.keys() != [each.key]]
    # Where a parent has to be named, its rows are what is sorted.
    within = [f"{parent.column.key}, " for parent in rows.parents.values() if parent.needed] or [""]
    missing = {
        f"{column.table.name}.{column.key}"
        for column in columns
        if not any((part, column.table.name, start + column.key) in indexes for start in ("", *within))
    }
    assert missing == set()


@pytest.mark.parametrize(("part", "name", "rows"), LISTS, ids=[name for _, name, _ in LISTS])
def test_a_list_is_sorted_by_what_every_row_has(part: str, name: str, rows: Rows[Any]) -> None:
    """A cursor can't stand at a null."""
    assert [each for each in rows.sort if getattr(rows.model, each).nullable] == []


async def test_times_filter_by_half_open_spans(goals: httpx.AsyncClient, clock: Clock) -> None:
    made = []
    for number in range(3):
        made.append((await goals.post("/v1/campaigns", json={**CAMPAIGN, "slug": f"a-{number}"})).json())
        clock.forward(hours=1)
    start = datetime.fromisoformat(made[1]["created_at"])

    async def ids(**query: str) -> list[str]:
        answer = await goals.get("/v1/campaigns", params=query)
        assert answer.status_code == 200, answer.text
        return [item["id"] for item in answer.json()["items"]]

    assert await ids(created_from=start.isoformat()) == [made[1]["id"], made[2]["id"]]
    assert await ids(created_to=start.isoformat()) == [made[0]["id"]]
    later = (start + timedelta(hours=1)).astimezone(UTC).isoformat()
    assert await ids(created_from=start.isoformat(), created_to=later) == [made[1]["id"]]
    assert await ids(flight_start_from="2026-03-01", flight_start_to="2026-03-02") == [each["id"] for each in made]
    assert await ids(flight_end_from="2026-04-02") == []
    assert (await goals.get("/v1/campaigns?created_from=2026-03-01T00:00:00")).status_code == 422


@pytest.mark.parametrize("query", ["fields=name,state", "fields=name&fields=state", "fields=state,%20name,id"])
async def test_just_the_fields_asked_for_come_back_with_the_id(goals: httpx.AsyncClient, query: str) -> None:
    made = (await goals.post("/v1/campaigns", json=CAMPAIGN)).json()
    wanted = {"id": made["id"], "name": "A", "state": "idea"}
    assert (await goals.get(f"/v1/campaigns?{query}")).json()["items"] == [wanted]
    assert (await goals.get(f"/v1/campaigns/{made['id']}?{query}")).json() == wanted


async def test_fields_go_with_groups_and_sorting(goals: httpx.AsyncClient) -> None:
    campaign = (await goals.post("/v1/campaigns", json=CAMPAIGN)).json()
    goal = (await goals.post("/v1/goals", json={**GOAL, "campaign_ids": [campaign["id"]]})).json()
    query = {"campaign_id": campaign["id"], "limit_per": 3, "fields": "window,campaign_ids", "sort": "-title"}
    (group,) = (await goals.get("/v1/goals", params=query)).json()["groups"]
    assert group["items"] == [{name: goal[name] for name in ("id", "window", "campaign_ids")}]


async def test_a_field_that_there_is_not_is_named(goals: httpx.AsyncClient) -> None:
    for path in ("/v1/campaigns", "/v1/goals/0195d3b0-0000-7000-8000-000000000000"):
        answer = await goals.get(f"{path}?fields=id,nope")
        assert answer.status_code == 422
        (error,) = answer.json()["errors"]
        assert error["field"] == "fields"
        assert "nope" in error["message"]


async def test_what_is_not_asked_for_is_not_looked_up(goals: httpx.AsyncClient, apps: dict[str, FastAPI]) -> None:
    await goals.post("/v1/campaigns", json=CAMPAIGN)
    with statements(apps["goals"].state.database) as whole:
        await goals.get("/v1/campaigns")
    with statements(apps["goals"].state.database) as narrow:
        await goals.get("/v1/campaigns?fields=name")
    assert sum("goal_campaign" in each for each in whole) == 1
    (statement,) = narrow
    assert "brief" not in statement
    assert "name" in statement


async def test_limit_per_tells_what_it_groups_by(apps: dict[str, FastAPI]) -> None:
    parameters = apps["goals"].openapi()["paths"]["/v1/goals"]["get"]["parameters"]
    (limit_per,) = [each for each in parameters if each["name"] == "limit_per"]
    assert limit_per["schema"]["x-group-by"] == ["campaign_id", "objective_id"]
