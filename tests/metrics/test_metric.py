"""What a catalogue of one's own promises: what is saved can be computed, and means for ever what it meant."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.metrics.conftest import Read, Sender
from tests.parts import Connect, Workspace

Define = Callable[..., Awaitable[dict[str, Any]]]
CLICK = {"event": "click", "email": "a@example.com", "timestamp": 1780315200, "sg_message_id": "m1"}
OPEN = {**CLICK, "event": "open"}


@pytest.fixture
async def define(metrics: httpx.AsyncClient) -> Define:
    """`await define("shop.some", "opens / clicks", "ratio")`: a metric of the workspace's own."""

    async def create(key: str, expression: str | None, unit: str = "count", **more: Any) -> dict[str, Any]:
        asked = {"key": key, "name": key, "unit": unit, "expression": expression, **more}
        answer = await metrics.post("/v1/metrics", json=asked)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    return create


async def test_a_metric_of_one_s_own_is_computed_from_what_it_says(
    define: Define, sendgrid: Sender, points: Read, metrics: httpx.AsyncClient
) -> None:
    await sendgrid.tell(OPEN, {**OPEN, "timestamp": 1780315201}, {**OPEN, "email": "b@example.com"}, CLICK)
    made = await define("shop.opens-each", "opens / clicks", "ratio", words="How often they look before they click.")
    assert (made["version"], made["shipped"], made["scale"]) == (1, False, 1)
    assert (made["numerator"], made["denominator"], made["additive"]) == ("opens", "clicks", False)
    (point,) = await points("shop.opens-each")
    assert (point["value"], point["numerator"], point["denominator"]) == (3, 3, 1)
    await define("shop.twice", "100 * [shop.opens-each] - 5", "percent")
    assert [each["value"] for each in await points("shop.twice")] == [295]
    assert (await metrics.get("/v1/metrics/shop.twice")).json()["uses"] == ["shop.opens-each@1"]
    people = await define("shop.people", "unique_opens", distinct_key="recipient")
    assert people["additive"] is False
    assert [each["value"] for each in await points("shop.people")] == [2]
    assert [each["value"] for each in await points("email.unique_opens")] == [2]
    listed = (await metrics.get("/v1/metrics", params={"shipped": False})).json()["items"]
    assert [each["key"] for each in listed] == ["shop.opens-each", "shop.people", "shop.twice"]


async def test_a_new_version_leaves_the_old_and_what_rests_on_it_as_they_were(
    define: Define, sendgrid: Sender, points: Read, metrics: httpx.AsyncClient
) -> None:
    await sendgrid.tell(OPEN, {**OPEN, "timestamp": 1780315201}, CLICK)
    first = await define("shop.acts", "opens + clicks")
    await define("shop.double", "2 * [shop.acts]")
    path = "/v1/metrics/shop.acts"
    assert (await metrics.patch(path, json={"expression": "clicks"})).status_code == 428
    changed = await metrics.patch(path, json={"expression": "clicks"}, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    late = await metrics.patch(path, json={"name": "Late"}, headers={"If-Match": '"1"'})
    assert late.status_code == 412
    assert [each["value"] for each in await points("shop.acts")] == [1]
    assert [each["value"] for each in await points("shop.acts", version=1)] == [3]
    assert [each["value"] for each in await points("shop.double")] == [6]
    answer = await metrics.get(path, params={"version": 1})
    assert answer.json() == first
    assert (await metrics.get(path, params={"version": 3})).status_code == 404
    versions = (await metrics.get(f"{path}/versions", params={"limit": 1})).json()
    assert [each["version"] for each in versions["items"]] == [2]
    rest = (await metrics.get(f"{path}/versions", params={"cursor": versions["next_cursor"]})).json()
    assert ([each["version"] for each in rest["items"]], rest["next_cursor"]) == ([1], None)
    told = await metrics.post(
        "/v1/series/query",
        json={"queries": [
            {"metric": "shop.acts", "from": "2026-01-01", "to": "2027-01-01", "grain": "total", "version": version}
            for version in (1, 2, 3)
        ]},
    )  # fmt: skip
    found = told.json()["series"]
    assert [each["points"][0]["value"] for each in found[:2]] == [3, 1]
    assert [each["metric"] and each["metric"]["version"] for each in found] == [1, 2, None]
    assert found[2]["problem"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("asked", "field", "code"),
    [
        ({"expression": "clicks +"}, "expression", "syntax"),
        ({"expression": "__import__('os').system('true')"}, "expression", "syntax"),
        ({"expression": "clickz"}, "expression", "unknown_measure"),
        ({"expression": "[email.nothing]"}, "expression", "unknown_metric"),
        ({"expression": "clicks / opens"}, "unit", "unit"),
        ({"expression": "clicks + 100"}, "expression", "unit"),
        ({"expression": "clicks", "observed": "sum"}, "body", "value_error"),
        ({}, "body", "value_error"),
        ({"observed": "sum", "unit": "percent"}, "body", "value_error"),
        ({"expression": "clicks", "currency": "EUR"}, "body", "value_error"),
        ({"expression": "clicks", "key": "email.mine"}, "key", "reserved"),
        ({"expression": "clicks", "key": "Shop Own"}, "key", "string_pattern_mismatch"),
        ({"expression": "clicks", "grain": "hour"}, "grain", "enum"),
        ({"expression": "clicks", "more": 1}, "more", "extra_forbidden"),
    ],
)
async def test_what_can_not_be_computed_is_not_saved(
    metrics: httpx.AsyncClient, asked: dict[str, Any], field: str, code: str
) -> None:
    answer = await metrics.post("/v1/metrics", json={"key": "shop.some", "name": "Some", "unit": "count", **asked})
    assert answer.status_code == 422, answer.text
    assert (answer.json()["errors"][0]["field"], answer.json()["errors"][0]["code"]) == (field, code)


async def test_metrics_can_not_be_made_to_rest_on_themselves(define: Define, metrics: httpx.AsyncClient) -> None:
    await define("shop.one", "clicks")
    await define("shop.two", "[shop.one]")
    answer = await metrics.patch("/v1/metrics/shop.one", json={"expression": "[shop.two]"}, headers={"If-Match": "1"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["code"] == "cycle"
    assert "shop.one -> shop.two -> shop.one" in answer.json()["detail"]


async def test_shipped_metrics_stay_as_they_are(metrics: httpx.AsyncClient) -> None:
    match = {"If-Match": "*"}
    for answer in (
        await metrics.patch("/v1/metrics/email.ctr", json={"name": "Mine"}, headers=match),
        await metrics.post("/v1/metrics/email.ctr/retire", headers=match),
        await metrics.delete("/v1/metrics/email.ctr", headers=match),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "shipped")


async def test_a_metric_goes_when_nothing_rests_on_it_and_retires_otherwise(
    define: Define, metrics: httpx.AsyncClient
) -> None:
    await define("shop.base_x", "clicks")
    await define("shop.over", "[shop.base_x]")
    await define("shop.basexx", "clicks")
    refused = await metrics.delete("/v1/metrics/shop.base_x")
    assert (refused.status_code, refused.json()["code"]) == (409, "in_use")
    assert "shop.over" in refused.json()["detail"]
    retired = await metrics.post("/v1/metrics/shop.base_x/retire", headers={"If-Match": "1"})
    assert retired.json()["retired_at"] is not None
    more = {"key": "shop.more", "name": "More", "unit": "count", "expression": "[shop.base_x]"}
    assert (await metrics.post("/v1/metrics", json=more)).json()["errors"][0]["code"] == "retired"
    assert (await metrics.get("/v1/metrics", params={"retired": True})).json()["items"] == [retired.json()]
    for key in ("shop.basexx", "shop.over", "shop.base_x"):
        assert (await metrics.delete(f"/v1/metrics/{key}")).status_code == 200
        assert (await metrics.get(f"/v1/metrics/{key}")).status_code == 404


async def test_a_workspace_s_metrics_are_its_own(
    define: Define, connect: Connect, other_workspace: Workspace, metrics: httpx.AsyncClient
) -> None:
    await define("shop.some", "clicks")
    again = await metrics.post(
        "/v1/metrics", json={"key": "shop.some", "name": "Again", "unit": "count", "expression": "opens"}
    )
    assert again.status_code == 409
    stranger = connect("metrics", other_workspace)
    assert (await stranger.get("/v1/metrics/shop.some")).status_code == 404
    assert (await stranger.get("/v1/metrics", params={"shipped": False})).json()["items"] == []
    mine = {"key": "shop.some", "name": "Mine", "unit": "ratio", "expression": "[shop.some]"}
    assert (await stranger.post("/v1/metrics", json=mine)).json()["errors"][0]["code"] == "unknown_metric"
    reader = connect("metrics", other_workspace, "stakeholder")
    assert (await reader.post("/v1/metrics", json=mine)).status_code == 403


async def test_a_metric_by_the_month_has_no_days(define: Define, metrics: httpx.AsyncClient) -> None:
    await define("shop.monthly", None, observed="sum", grain="month")
    asked = {"from": "2026-01-01", "to": "2026-02-01", "grain": "day"}
    answer = await metrics.get("/v1/metrics/shop.monthly/series", params=asked)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "too_fine")
    finer = {"key": "shop.finer", "name": "Finer", "unit": "count", "expression": "2 * [shop.monthly]"}
    assert (await metrics.post("/v1/metrics", json=finer)).json()["errors"][0]["field"] == "grain"
