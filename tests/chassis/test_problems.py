"""What a failure promises: problem+json that names the field, and nothing internal."""

import asyncpg
import httpx
import pytest

from chassis.reading import Reader
from tests.parts import Connect, Workspace

CAMPAIGN = {"name": "A", "slug": "a", "channels": ["email"], "flight": {"start": "2026-03-01", "end": "2026-04-01"}}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"state": "live"}, "state"),
        ({"name": ""}, "name"),
        ({"name": "nul \0 here"}, "name"),
        ({"slug": "Not A Slug"}, "slug"),
        ({"flight": {"start": "2026-04-01", "end": "2026-04-01"}}, "flight"),
        ({"flight": {"start": "2026-04-01"}}, "flight.end"),
        ({"channels": []}, "channels"),
        ({"channels": ["pigeon"]}, "channels.0"),
        ({"territories": ["D\0"]}, "territories"),
    ],
)
async def test_a_wrong_field_is_named(goals: httpx.AsyncClient, change: dict[str, object], field: str) -> None:
    answer = await goals.post("/v1/campaigns", json={**CAMPAIGN, **change})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [each["field"] for each in answer.json()["errors"]] == [field]
    assert (await goals.get("/v1/campaigns")).json()["items"] == []


async def test_a_nul_in_a_query_is_refused_by_name(goals: httpx.AsyncClient) -> None:
    answer = await goals.get("/v1/campaigns?slug=a%00b")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "slug")


@pytest.mark.parametrize("depth", [500, 100_000])
async def test_a_body_that_is_nested_deeply_is_refused(goals: httpx.AsyncClient, depth: int) -> None:
    body = '{"name": ' + "[" * depth + "]" * depth + ', "stakeholder": "ceo"}'
    answer = await goals.post("/v1/objectives", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)


async def test_a_body_has_a_size(goals: httpx.AsyncClient) -> None:
    async def endless() -> object:
        for _ in range(200):
            yield b" " * 10_000

    declared = await goals.post("/v1/campaigns", content=b" " * 1_000_001)
    streamed = await goals.post("/v1/campaigns", content=endless())  # type: ignore[arg-type]
    assert (declared.status_code, streamed.status_code) == (413, 413)


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "TRACE"])
async def test_what_cannot_be_done_at_a_path_is_answered_with_what_can(
    goals: httpx.AsyncClient, assets: httpx.AsyncClient, method: str
) -> None:
    some = "00000000-0000-7000-8000-000000000000"
    for part, path, allowed in (
        (goals, f"/v1/campaigns/{some}", "GET, PATCH"), (goals, "/v1/goals", "GET, POST"),
        (goals, f"/v1/goals/{some}/activate", "POST"), (assets, f"/v1/assets/{some}/content", "GET, HEAD"),
    ):  # fmt: skip
        answer = await part.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
        assert answer.json()["code"] == "method_not_allowed"


async def test_an_unknown_path_and_an_unknown_id_are_problems(goals: httpx.AsyncClient) -> None:
    for path in ("/nowhere", "/v1/campaigns/00000000-0000-7000-8000-000000000000"):
        answer = await goals.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "problem",
    [
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"),
        asyncpg.InterfaceError("cannot perform operation: connection is closed"),
        ConnectionResetError(),
    ],
    ids=lambda problem: type(problem).__name__,
)
async def test_a_connection_that_is_lost_is_told_as_a_database_that_is_away(
    goals: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    class Lost:
        async def execute(self, _: str) -> None:
            raise problem

    begins = Reader.begin

    async def begin(reader: Reader, statement: str) -> None:
        reader._connection = Lost()
        await begins(reader, statement)

    monkeypatch.setattr(Reader, "begin", begin)
    answer = await goals.get("/v1/campaigns")
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")


@pytest.mark.parametrize("part", ["goals", "assets", "budget", "metrics", "gateway"])
async def test_every_part_serves_its_health_metrics_and_offline_docs(connect: Connect, part: str) -> None:
    client = connect(part)
    assert (await client.get("/livez")).status_code == 200
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["database"]) == (200, "ok")
    assert "mops_database_up 1.0" in (await client.get("/metrics")).text
    page = (await client.get("/docs")).text
    assert "cdn" not in page
    assert "https://" not in page


async def test_a_secret_in_a_header_stays_out_of_the_log(
    goals: httpx.AsyncClient, workspace: Workspace, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    token = workspace.token("admin")
    await goals.get("/v1/campaigns?cursor=broken", headers={"Authorization": f"Bearer {token}"})
    assert token not in caplog.text + capsys.readouterr().out
