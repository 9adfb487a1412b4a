"""What observations promise: each figure counts once, and what was known when is never lost."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from chassis.testing import Clock
from tests.metrics.conftest import Campaigns, Read
from tests.metrics.test_series import news
from tests.parts import Workspace

VISITS = {"metric": "web.visits", "day": "2026-03-01", "value": "1200"}
REVENUE = {"key": "shop.revenue", "name": "Revenue", "unit": "money", "observed": "sum"}


async def record(metrics: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await metrics.post("/v1/observations", json={**VISITS, **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_what_is_observed_becomes_a_series(
    metrics: httpx.AsyncClient, campaign: Campaigns, points: Read, metrics_app: FastAPI, workspace: Workspace
) -> None:
    spring = await campaign("spring")
    await record(metrics)
    await record(metrics, value="300", campaign_id=spring)
    await record(metrics, value="50", campaign_id=spring, day="2026-03-31", reference="landing page")
    assert (await news(metrics_app, workspace))[0] == {
        "campaign_ids": [], "unmapped": True, "from": "2026-03-01", "to": "2026-03-02",
    }  # fmt: skip
    found = {each["start"]: each["value"] for each in await points("web.visits", grain="month")}
    assert found["2026-03-01"] == 1550
    assert found["2026-02-01"] is None
    assert [each["value"] for each in await points("web.visits", campaign_id=spring)] == [350]
    span = {"from": "2026-01-01", "to": "2027-01-01", "grain": "total", "group_by": "campaign_id"}
    grouped = (await metrics.get("/v1/metrics/web.visits/series", params=span)).json()["series"]
    assert [(each["group"], each["points"][0]["value"]) for each in grouped] == [
        ({"campaign_id": spring}, 350), ({"campaign_id": None}, 1200),
    ]  # fmt: skip
    wrong = await metrics.get("/v1/metrics/web.visits/series", params={**span, "group_by": "source_id"})
    assert (wrong.status_code, wrong.json()["errors"][0]["code"]) == (422, "not_observed")


async def test_money_is_exact_and_says_its_currency(metrics: httpx.AsyncClient, points: Read) -> None:
    assert (await metrics.post("/v1/metrics", json=REVENUE)).json()["currency"] == "EUR"
    per_visit = {
        "key": "shop.each",
        "name": "Revenue per visit",
        "unit": "money",
        "expression": "[shop.revenue] / [web.visits]",
    }
    assert (await metrics.post("/v1/metrics", json=per_visit)).json()["currency"] == "EUR"
    await record(metrics, value="3")
    for number, amount in enumerate(("0.10", "0.20", "999999999.69")):
        money = {"money": {"amount": amount, "currency": "EUR"}, "value": None, "reference": f"{number}"}
        kept = await record(metrics, metric="shop.revenue", **money)
        assert (kept["value"], kept["money"]["amount"]) == (amount, amount)
    (total,) = await points("shop.revenue")
    assert total["money"] == {"amount": "999999999.99", "currency": "EUR"}
    (each,) = await points("shop.each")
    assert (each["money"], each["denominator"]) == ({"amount": "333333333.33", "currency": "EUR"}, 3)
    for wrong in ({"value": "5"}, {"money": {"amount": "5", "currency": "USD"}}):
        answer = await metrics.post("/v1/observations", json={"metric": "shop.revenue", "day": "2026-03-01", **wrong})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "money")


async def test_figures_are_of_one_currency_for_all_that_rests_on_them(metrics: httpx.AsyncClient) -> None:
    own = {"name": "Own", "unit": "money"}
    assert (await metrics.post("/v1/metrics", json=REVENUE)).status_code == 201
    twice = {**own, "key": "shop.twice", "expression": "2 * [shop.revenue]"}
    assert (await metrics.post("/v1/metrics", json=twice)).status_code == 201
    path, first = f"/v1/metrics/{REVENUE['key']}", {"If-Match": "1"}
    answer = await metrics.patch(path, json={"currency": "USD"}, headers=first)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "in_use")
    for patch, field in (({"currency": "USD"}, "currency"), ({"unit": "count", "currency": None}, "unit")):
        answer = await metrics.patch(path, json=patch, headers=first)
        assert (answer.status_code, [each["field"] for each in answer.json()["errors"]]) == (422, [field])
    assert (await metrics.patch(path, json={"words": "Paid"}, headers=first)).status_code == 200


async def test_a_mean_is_of_all_observations_and_no_mean_of_means(metrics: httpx.AsyncClient, points: Read) -> None:
    score = {"key": "shop.score", "name": "Score", "unit": "ratio", "observed": "mean"}
    assert (await metrics.post("/v1/metrics", json=score)).status_code == 201
    for day, value in (("2026-01-01", "10"), ("2026-02-01", "1"), ("2026-02-02", "1.5")):
        await record(metrics, metric="shop.score", day=day, value=value)
    (total,) = await points("shop.score")
    assert (total["value"], total["numerator"], total["denominator"]) == (12.5 / 3, 12.5, 3)


async def test_a_correction_keeps_what_it_corrects_and_what_was_known_when(
    metrics: httpx.AsyncClient, points: Read, clock: Clock
) -> None:
    first = await record(metrics)
    times = [clock.now]
    clock.now += timedelta(hours=1)
    correct = {"value": "1100", "reason": "Robots were counted"}
    second = (await metrics.post(f"/v1/observations/{first['id']}/correct", json=correct)).json()
    assert (second["corrects_id"], second["reason"], second["value"]) == (first["id"], correct["reason"], "1100")
    assert second["recorded_by"] == "client:test"
    again = await metrics.post(f"/v1/observations/{first['id']}/correct", json=correct)
    assert (again.status_code, again.json()["code"]) == (409, "corrected")
    assert second["id"] in again.json()["detail"]
    times.append(clock.now)
    clock.now += timedelta(hours=1)
    gone = await metrics.post(f"/v1/observations/{second['id']}/withdraw", json={"reason": "Another shop's"})
    assert (gone.status_code, gone.json()["value"]) == (201, None)
    times.append(clock.now)
    times.insert(0, times[0] - timedelta(seconds=1))
    known = [(await points("web.visits", as_of=at.isoformat()))[0]["value"] for at in times]
    assert known == [None, 1200, 1100, None]
    assert [each["value"] for each in await points("web.visits")] == [None]
    for holds, ids in ((True, [gone.json()["id"]]), (False, [first["id"], second["id"]])):
        found = (await metrics.get("/v1/observations", params={"holds": holds})).json()["items"]
        assert [each["id"] for each in found] == ids
    kept = (await metrics.get(f"/v1/observations/{first['id']}")).json()
    assert kept == {**first, "superseded_at": second["recorded_at"]}


async def test_a_figure_is_recorded_once(metrics: httpx.AsyncClient) -> None:
    first = await record(metrics)
    assert (await record(metrics))["id"] == first["id"]
    other = await metrics.post("/v1/observations", json={**VISITS, "value": "1201"})
    assert (other.status_code, other.json()["code"]) == (409, "observed")
    assert "1200" in other.json()["detail"]


@pytest.mark.parametrize(
    ("wrong", "field", "code"),
    [
        ({"metric": "email.ctr"}, "metric", "not_observed"),
        ({"metric": "shop.nothing"}, "metric", "unknown"),
        ({"day": "2026-06-16"}, "day", "in_the_future"),
        ({"value": "1.5"}, "value", "not_whole"),
        ({"value": None}, "body", "value_error"),
        ({"money": {"amount": "1", "currency": "EUR"}, "value": None}, "money", "not_money"),
        ({"campaign_id": "01890a5d-ac96-774b-bcce-b302099a8057"}, "campaign_id", "unknown"),
    ],
)
async def test_a_figure_that_makes_no_sense_is_refused(
    metrics: httpx.AsyncClient, wrong: dict[str, Any], field: str, code: str
) -> None:
    answer = await metrics.post("/v1/observations", json={**VISITS, **wrong})
    assert answer.status_code == 422, answer.text
    assert (answer.json()["errors"][0]["field"], answer.json()["errors"][0]["code"]) == (field, code)


async def test_many_are_recorded_at_once_and_what_is_wrong_costs_no_other(
    metrics: httpx.AsyncClient, points: Read
) -> None:
    await record(metrics)
    rows = [
        VISITS, {**VISITS, "day": "2026-03-02"}, {**VISITS, "day": "2026-03-02"}, {**VISITS, "metric": "email.ctr"},
        {**VISITS, "day": "2026-03-03", "value": "7"},
    ]  # fmt: skip
    for dry_run in (True, False):
        answer = (
            await metrics.post("/v1/observations/import", json={"rows": rows}, params={"dry_run": dry_run})
        ).json()
        assert [each["outcome"] for each in answer["rows"]] == [
            "unchanged", "recorded", "refused", "refused", "recorded",
        ]  # fmt: skip
        assert [each["row"] for each in answer["rows"] if each["errors"]] == [3, 4]
        assert [answer[name] for name in ("recorded", "corrected", "unchanged", "refused")] == [2, 0, 1, 2]
        assert [point["value"] for point in await points("web.visits")] == [1200 if dry_run else 2407]
    late = [{**VISITS, "value": "1000"}]
    refused = (await metrics.post("/v1/observations/import", json={"rows": late})).json()
    assert refused["rows"][0]["errors"][0]["code"] == "observed"
    corrected = (await metrics.post("/v1/observations/import", json={"rows": late, "reason": "Counted again"})).json()
    assert corrected["corrected"] == 1
    assert [point["value"] for point in await points("web.visits")] == [2207]


async def test_a_figure_is_recorded_once_by_all_who_do_at_once(metrics: httpx.AsyncClient, points: Read) -> None:
    same = await asyncio.gather(*(metrics.post("/v1/observations", json=VISITS) for _ in range(8)))
    assert {(each.status_code, each.json()["id"]) for each in same} == {(201, same[0].json()["id"])}
    first = same[0].json()["id"]
    late = {"rows": [{**VISITS, "value": "7"}, {**VISITS, "day": "2026-03-02"}], "reason": "Counted again"}
    by_hand = {"value": "9", "reason": "Counted by hand"}
    answers = await asyncio.gather(
        metrics.post("/v1/observations/import", json=late),
        *(metrics.post(f"/v1/observations/{first}/correct", json=by_hand) for _ in range(4)),
    )
    assert (answers[0].status_code, answers[0].json()["refused"]) == (200, 0)
    others = [(each.status_code, each.json().get("code")) for each in answers[1:]]
    assert set(others) <= {(201, None), (409, "corrected")}
    holding = (await metrics.get("/v1/observations", params={"holds": True})).json()["items"]
    assert len(holding) == 2
    every = (await metrics.get("/v1/observations")).json()["items"]
    assert {each["corrects_id"] for each in every if each["corrects_id"]} == {
        each["id"] for each in every if each["superseded_at"]
    }


async def test_to_ask_what_would_be_corrected_corrects_nothing(metrics: httpx.AsyncClient, points: Read) -> None:
    first = await record(metrics)
    late = {"rows": [{**VISITS, "value": "1000"}], "reason": "Counted again"}
    answer = await metrics.post("/v1/observations/import", json=late, params={"dry_run": True})
    assert answer.json()["rows"] == [{"row": 1, "outcome": "corrected", "observation_id": None, "errors": []}]
    assert (await metrics.get(f"/v1/observations/{first['id']}")).json() == first
    assert [point["value"] for point in await points("web.visits")] == [1200]


async def test_a_csv_file_is_read_as_a_spreadsheet_writes_it(
    metrics: httpx.AsyncClient, campaign: Campaigns, points: Read
) -> None:
    await campaign("spring")
    await metrics.post("/v1/metrics", json=REVENUE)
    text = (
        "\ufeffMetric;Day;Value;Currency;Campaign;Note\r\n"
        "web.visits;2026-03-01;1200;;spring;'=seen\r\n"
        "\r\n"
        "shop.revenue;2026-03-01;12.50;EUR;;\r\n"
        "shop.revenue;2026-03-02;2.5;;;\r\n"
        "web.visits;1.3.2026;5;;;\r\n"
        "web.visits;2026-03-02;many;;summer;\r\n"
    )
    answer = (await metrics.post("/v1/observations/import-csv", content=text.encode())).json()
    assert [(each["row"], each["outcome"]) for each in answer["rows"]] == [
        (2, "recorded"), (4, "recorded"), (5, "recorded"), (6, "refused"), (7, "refused"),
    ]  # fmt: skip
    assert [each["errors"][0]["field"] for each in answer["rows"][3:]] == ["day", "value"]
    assert [point["money"]["amount"] for point in await points("shop.revenue")] == ["15.00"]
    (kept,) = (await metrics.get("/v1/observations", params={"metric": "web.visits"})).json()["items"]
    assert kept["note"] == "=seen"
    other, blank = b"metric,day,value,campaign\nweb.visits,2026-03-01,3,spring\n", {"reason": "  "}
    answer = (await metrics.post("/v1/observations/import-csv", content=other, params=blank)).json()
    assert answer["rows"][0]["errors"][0]["code"] == "observed"  # and nobody said why it isn't
    for wrong, code in (
        (b"metric,day\n", "missing"), (b"metric,day,value,more\n", "unknown"), (b"\xff", "encoding"),
        (b"metric,day,value\na,b\n", "uneven"), (b"metric,day,value\na,b,\0\n", "nul"), (b"", "missing"),
        (b"metric,day,value,day\n", "twice"), (b'metric,day,value\na,b,"c', "malformed"),
        (b"metric,day,value\n" + b"a,b,c\n" * 1001, "too_many"),
    ):  # fmt: skip
        refused = await metrics.post("/v1/observations/import-csv", content=wrong)
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, code), refused.text
