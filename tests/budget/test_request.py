"""What requests for money promise."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from chassis.errors import Forbidden
from chassis.fields import new_id
from chassis.inbox import Incoming, learn_workspace
from chassis.jobs import run_once
from chassis.testing import START, Clock
from services.budget.request.actions import EXPIRE, release_campaign
from services.budget.request.rules import deciding_for
from tests.budget.conftest import Person
from tests.budget.test_ledger import allot, money
from tests.budget.test_plan import open_line, wrong_fields
from tests.parts import Workspace


async def ask(
    client: httpx.AsyncClient, line: dict[str, Any], amount: str, currency: str = "EUR", **more: Any
) -> dict[str, Any]:
    """A request that is submitted."""
    body = {"title": "Photographer", "line_id": line["id"], "amount": money(amount, currency), **more}
    created = await client.post("/v1/requests", json=body)
    assert created.status_code == 201, created.text
    submitted = await client.post(f"/v1/requests/{created.json()['id']}/submit")
    assert submitted.status_code == 200, submitted.text
    found: dict[str, Any] = submitted.json()
    return found


async def act(client: httpx.AsyncClient, thing: dict[str, Any], verb: str, json: Any = None) -> httpx.Response:
    return await client.post(f"/v1/requests/{thing['id']}/{verb}", json=json)


async def done(client: httpx.AsyncClient, thing: dict[str, Any], verb: str, json: Any = None) -> dict[str, Any]:
    answer = await act(client, thing, verb, json)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def pots(client: httpx.AsyncClient, line: dict[str, Any]) -> dict[str, str]:
    found = (await client.get(f"/v1/lines/{line['id']}/position")).json()
    return {pot: found[pot]["amount"] for pot in ("reserved", "committed", "actual", "available")}


async def sound(budget: httpx.AsyncClient) -> None:
    found = (await budget.get("/v1/ledger-check")).json()
    assert found["sound"], found


async def told(apps: dict[str, FastAPI], workspace: Workspace, kind: str) -> list[Any]:
    async with apps["budget"].state.database.tenant(workspace.id) as session:
        rows = await session.scalars(text("SELECT data FROM outbox WHERE type = :t ORDER BY id"), {"t": kind})
        return list(rows.all())


@pytest.fixture
async def line(budget: httpx.AsyncClient) -> dict[str, Any]:
    """A `stop` line with 100 euros."""
    line = await open_line(budget, low_percent=0)
    await allot(budget, line, "100")
    return line


async def test_an_approval_reserves_a_commitment_orders_and_a_void_gives_back(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    ada, bob = person("ada"), person("bob")
    request = await ask(ada, line, "60")
    assert (request["state"], request["submitted_by"]) == ("submitted", "ada")
    assert (await pots(budget, line))["available"] == "100.00"
    approved = await done(bob, request, "approve")
    assert (approved["state"], approved["decided_by"]) == ("approved", "bob")
    assert await pots(budget, line) == {
        "reserved": "60.00", "committed": "0.00", "actual": "0.00", "available": "40.00"
    }  # fmt: skip
    ordered = await done(ada, request, "commit")
    assert (ordered["state"], ordered["po_number"]) == ("committed", "PO-000001")
    assert (await pots(budget, line))["committed"] == "60.00"
    voided = await done(bob, request, "void", {"reason": "the fair is off"})
    assert (voided["state"], voided["reason"]) == ("voided", "the fair is off")
    assert (await pots(budget, line))["available"] == "100.00"
    assert (await act(bob, request, "void", {"reason": "again"})).status_code == 409
    await sound(budget)


async def test_what_does_not_fit_is_refused_with_the_numbers_and_decides_nothing(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    request = await ask(person("ada"), line, "100.01")
    refused = await act(person("bob"), request, "approve")
    assert refused.status_code == 409
    problem = refused.json()
    assert problem["code"] == "does_not_fit"
    assert {name: problem[name] for name in ("available", "asked", "missing", "currency")} == {
        "available": money("100.00"), "asked": money("100.01"), "missing": money("0.01"), "currency": "EUR",
    }  # fmt: skip
    assert (await budget.get(f"/v1/requests/{request['id']}")).json()["state"] == "submitted"
    assert (await budget.get("/v1/decisions")).json()["items"] == []


async def test_a_line_that_only_warns_goes_below_zero_and_says_so(budget: httpx.AsyncClient, person: Person) -> None:
    line = await open_line(budget, policy="warn")
    await done(person("bob"), await ask(person("ada"), line, "5"), "approve")
    assert (await pots(budget, line))["available"] == "-5.00"


async def test_nobody_approves_what_they_asked_for(person: Person, line: dict[str, Any]) -> None:
    ada = person("ada")
    refused = await act(ada, await ask(ada, line, "1"), "approve")
    assert (refused.status_code, refused.json()["code"]) == (403, "four_eyes")


async def test_as_many_approvals_at_once_as_fit_go_through_and_no_more(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    ada, bob = person("ada"), person("bob")
    asked = [await ask(ada, line, "9") for _ in range(16)]
    answers = await asyncio.gather(*(act(bob, each, "approve") for each in asked))
    assert sorted(answer.status_code for answer in answers) == [200] * 11 + [409] * 5
    assert (await pots(budget, line))["available"] == "1.00"
    await sound(budget)


async def test_two_who_decide_at_once_decide_once(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    request = await ask(person("ada"), line, "9")
    answers = await asyncio.gather(*(act(person(name), request, "approve") for name in ("bob", "cat", "dan")))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    assert (await pots(budget, line))["reserved"] == "9.00"


async def test_a_key_that_is_sent_twice_at_once_decides_once_and_answers_twice(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    bob, requests = person("bob"), [await ask(person("ada"), line, "9") for _ in range(2)]
    path, key = f"/v1/requests/{requests[0]['id']}/approve", {"Idempotency-Key": "once"}
    first, second = await asyncio.gather(bob.post(path, headers=key), bob.post(path, headers=key))
    assert first.json() == second.json()
    assert sorted("Idempotency-Replayed" in answer.headers for answer in (first, second)) == [False, True]
    other = await bob.post(f"/v1/requests/{requests[1]['id']}/approve", headers=key)
    assert wrong_fields(other) == ["Idempotency-Key"]
    assert (await pots(budget, line))["reserved"] == "9.00"


async def test_what_is_refused_among_many_costs_no_other_and_leaves_its_key_free(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    fits, too_much = await ask(person("ada"), line, "100"), await ask(person("ada"), line, "100.01")
    own = await ask(person("bob"), line, "1")
    key = {"Idempotency-Key": "mine"}

    async def approve(request: dict[str, Any], **headers: str) -> httpx.Response:
        return await person("bob").post(f"/v1/requests/{request['id']}/approve", headers=headers)

    answers = await asyncio.gather(
        approve(too_much, **key), approve(own), approve(fits), approve(fits, **{"If-Match": "1"})
    )
    assert [answer.status_code for answer in answers] == [409, 403, 200, 412]
    await allot(budget, line, "100.01")
    assert (await approve(too_much, **key)).status_code == 200
    await sound(budget)


async def test_the_audit_says_who_decided_on_what(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    first, second = [await ask(person("ada"), line, "1") for _ in range(2)]
    await asyncio.gather(act(person("bob"), first, "approve"), act(person("cat"), second, "reject", {"reason": "no"}))
    for request, who, verb, state in (
        (first, "bob", "approve", "approved"), (second, "cat", "reject", "rejected")
    ):  # fmt: skip
        told = (await budget.get(f"/v1/audit?row_id={request['id']}&actor={who}")).json()["items"]
        assert [(each["operation"], each["kind"]) for each in told] == [(f"{verb}_spend_request", "request")]
        changes = {each["field"]: (each["old"], each["new"]) for each in told[0]["changes"]}
        assert changes["state"] == ("submitted", state)
        assert changes["decided_by"] == (None, who)


async def test_every_layer_is_passed_by_somebody_else_and_the_last_one_reserves(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any], clock: Clock
) -> None:
    for name, above, approvers in (("lead", "0", []), ("head", "50", ["cat"])):
        band = {"name": name, "above": money(above), "approvers": approvers}
        assert (await budget.post("/v1/bands", json=band)).status_code == 201
    ada, bob, cat = person("ada"), person("bob"), person("cat")
    small, large = await ask(ada, line, "10"), await ask(ada, line, "50")
    assert (await done(bob, small, "approve"))["state"] == "approved"
    clock.forward(hours=1)
    passed = await done(bob, large, "approve")
    assert (passed["state"], passed["layers_done"]) == ("submitted", 1)
    assert (await act(bob, large, "approve")).json()["code"] == "four_eyes"
    assert (await act(person("dan"), large, "approve")).json()["code"] == "not_an_approver"
    clock.forward(hours=2)
    assert (await done(cat, large, "approve"))["decision_seconds"] == 3 * 3600
    assert (await pots(budget, line))["reserved"] == "60.00"
    delays = await budget.get(
        "/v1/decision-delays", params={"from": "2026-01-01T00:00:00Z", "to": "2027-01-01T00:00:00Z"}
    )
    assert [(each["layer"], each["band_name"], each["decisions"], each["mean_seconds"])
            for each in delays.json()["layers"]] == [(1, "lead", 2, 1800), (2, "head", 1, 7200)]  # fmt: skip


async def test_who_stands_in_decides_in_their_place_and_never_for_the_requester(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    band = {"name": "head", "above": money("0"), "approvers": ["cat", "ada"]}
    assert (await budget.post("/v1/bands", json=band)).status_code == 201
    request = await ask(person("ada"), line, "10")
    days = {"start": "2026-06-15", "end": "2026-06-16"}
    for absent, stand_in in (("ada", "bob"), ("cat", "dan")):
        delegated = {"absent": absent, "stand_in": stand_in, "days": days}
        assert (await budget.post("/v1/delegations", json=delegated)).status_code == 201
    assert (await act(person("bob"), request, "approve")).json()["code"] == "not_an_approver"
    await done(person("dan"), request, "approve")
    (decision,) = (await budget.get("/v1/decisions", params={"request_id": request["id"]})).json()["items"]
    assert (decision["decided_by"], decision["in_place_of"]) == ("dan", "cat")


names = st.sampled_from("abcde")


@given(names, st.sets(names), st.sets(names), st.sets(names), st.sets(names))
def test_four_eyes_whoever_is_named_where(
    who: str, requesters: set[str], approvers: set[str], decided: set[str], absent: set[str]
) -> None:
    try:
        place = deciding_for(who, requesters, approvers, decided, absent)
    except Forbidden:
        return
    assert who not in requesters | decided
    assert (place or who) not in requesters | decided
    assert not approvers or (place or who) in approvers


async def test_a_request_over_several_lines_reserves_on_all_of_them_or_on_none(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    other = await open_line(budget)
    await allot(budget, other, "10")
    items = [{"line_id": line["id"], "amount": money("30")}, {"line_id": other["id"], "amount": money("11")}]
    request = await ask(person("ada"), line, "41", items=items)
    assert (await act(person("bob"), request, "approve")).status_code == 409
    assert (await pots(budget, line))["reserved"] == "0.00"
    await allot(budget, other, "1")
    assert len((await done(person("bob"), request, "approve"))["items"]) == 2
    assert [(await pots(budget, each))["reserved"] for each in (line, other)] == ["30.00", "11.00"]
    await sound(budget)


async def test_items_that_are_not_the_whole_are_refused(budget: httpx.AsyncClient, line: dict[str, Any]) -> None:
    body = {"title": "x", "line_id": line["id"], "amount": money("5")}
    for items in (
        [{"line_id": line["id"], "amount": money("4")}],
        [{"line_id": line["id"], "amount": money("5", "USD")}],
    ):
        assert (await budget.post("/v1/requests", json={**body, "items": items})).status_code == 422
    unknown = await budget.post("/v1/requests", json={**body, "line_id": str(uuid4())})
    assert wrong_fields(unknown) == ["line_id"]


async def test_a_check_tells_the_numbers_and_what_else_there_is(
    budget: httpx.AsyncClient, line: dict[str, Any]
) -> None:
    other = await open_line(budget, name="Roomy", period={"start": "2027-01-01", "end": "2028-01-01"})
    await allot(budget, other, "500")
    body = {"title": "x", "line_id": line["id"], "amount": money("150")}
    found = (await budget.post("/v1/requests/check", json=body)).json()
    assert (found["fits"], found["smaller"]) == (False, money("100.00"))
    (of_line,) = found["lines"]
    assert (of_line["available"], of_line["asked"], of_line["missing"]) == (
        money("100.00"), money("150.00"), money("50.00"),
    )  # fmt: skip
    assert [each["line_id"] for each in found["other_lines"]] == [other["id"]]
    assert [each["line_id"] for each in found["later"]] == [other["id"]]
    assert (await budget.post("/v1/requests/check", json=body | {"amount": money("100")})).json()["fits"]
    assert (await budget.get("/v1/requests")).json()["items"] == []


async def test_a_reservation_that_nobody_commits_expires(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any], apps: dict[str, FastAPI], clock: Clock
) -> None:
    kept, left = [await ask(person("ada"), line, "20") for _ in range(2)]
    for each in (kept, left):
        await done(person("bob"), each, "approve")
    await done(person("ada"), kept, "commit")
    clock.forward(days=29, hours=23)
    await run_once(apps["budget"], EXPIRE, asked=True)
    assert (await pots(person("ada"), line))["reserved"] == "20.00"
    clock.forward(hours=1)
    await run_once(apps["budget"], EXPIRE, asked=True)
    await run_once(apps["budget"], EXPIRE, asked=True)
    states = [(await person("ada").get(f"/v1/requests/{each['id']}")).json()["state"] for each in (kept, left)]
    assert states == ["committed", "expired"]
    assert (await pots(person("ada"), line)) == {
        "reserved": "0.00", "committed": "20.00", "actual": "0.00", "available": "80.00"
    }  # fmt: skip
    assert (await act(person("ada"), left, "commit")).status_code == 409
    clock.forward(days=-30)
    await sound(budget)


async def test_a_request_in_another_currency_is_pinned_at_its_approval(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    await budget.post("/v1/rates", json={"csv": "Date,USD\n2026-06-15,1.25"})
    request = await ask(person("ada"), line, "100", "USD")
    await done(person("bob"), request, "approve")
    assert (await pots(budget, line))["reserved"] == "80.00"
    (entry,) = (await budget.get("/v1/entries", params={"subject_id": request["id"]})).json()["items"]
    assert (entry["original"], entry["rate"], entry["rate_on"]) == (money("100.00", "USD"), "0.8", "2026-06-15")
    await budget.post("/v1/rates", json={"csv": "Date,USD\n2026-06-15,2"})
    await done(person("ada"), request, "commit")
    assert (await pots(budget, line))["committed"] == "80.00"


async def test_a_rejection_needs_a_reason_and_ends_it(person: Person, line: dict[str, Any]) -> None:
    request = await ask(person("ada"), line, "1")
    assert wrong_fields(await act(person("bob"), request, "reject", {})) == ["reason"]
    assert (await done(person("bob"), request, "reject", {"reason": "no"}))["state"] == "rejected"
    assert (await act(person("bob"), request, "approve")).json()["code"] == "not_submitted"


async def test_only_a_draft_is_edited(person: Person, line: dict[str, Any]) -> None:
    ada = person("ada")
    body = {"title": "x", "line_id": line["id"], "amount": money("5")}
    draft = (await ada.post("/v1/requests", json=body)).json()
    edit: Any = {"headers": {"If-Match": "*"}, "json": {"amount": money("7")}}
    assert (await ada.patch(f"/v1/requests/{draft['id']}", **edit)).json()["amount"] == money("7.00")
    await done(ada, draft, "submit")
    assert (await ada.patch(f"/v1/requests/{draft['id']}", **edit)).json()["code"] == "not_a_draft"


async def test_a_cancelled_campaign_voids_what_was_not_ordered_once(
    budget: httpx.AsyncClient, person: Person, apps: dict[str, FastAPI], workspace: Workspace
) -> None:
    campaign = uuid4()
    line = await open_line(budget, campaign_id=str(campaign))
    await allot(budget, line, "100")
    ordered, approved, submitted = [await ask(person("ada"), line, "10") for _ in range(3)]
    for each in (ordered, approved):
        await done(person("bob"), each, "approve")
    await done(person("ada"), ordered, "commit")
    for _ in range(2):
        event = Incoming(
            id=new_id(), source="/goals", type="goals.campaign.cancelled", subject=str(campaign), time=START,
            workspaceid=workspace.id, data={"campaign_id": str(campaign), "reason": "recalled"},
        )  # fmt: skip
        async with apps["budget"].state.database.tenant(workspace.id) as session:
            await release_campaign(session, event)
    states = [
        (await budget.get(f"/v1/requests/{each['id']}")).json()["state"] for each in (ordered, approved, submitted)
    ]
    assert states == ["committed", "voided", "voided"]
    assert (await pots(budget, line))["available"] == "90.00"
    assert [each["effects"] for each in await told(apps, workspace, "budget.campaign.released")] == [2, 0]
    await sound(budget)


async def test_others_hear_what_was_asked_and_decided(
    person: Person, line: dict[str, Any], apps: dict[str, FastAPI], workspace: Workspace, clock: Clock
) -> None:
    request = await ask(person("ada"), line, "1")
    clock.forward(minutes=2)
    await done(person("bob"), request, "approve")
    (asked,) = await told(apps, workspace, "budget.request.submitted")
    (decided,) = await told(apps, workspace, "budget.request.decided")
    assert (asked["request_id"], asked["amount"]) == (request["id"], money("1.00"))
    assert (decided["verdict"], decided["seconds"], UUID(decided["request_id"])) == (
        "approved",
        120,
        UUID(request["id"]),
    )


async def test_what_was_passed_is_not_asked_again_and_what_was_not_is_however_bands_change_meanwhile(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    async def band(name: str, above: str, approver: str) -> dict[str, Any]:
        body = {"name": name, "above": money(above), "approvers": [approver]}
        found: dict[str, Any] = (await budget.post("/v1/bands", json=body)).json()
        return found

    lead = await band("lead", "1", "bob")
    await band("head", "5", "cat")
    first, second = await ask(person("ada"), line, "10"), await ask(person("ada"), line, "10")
    for each in (first, second):
        await done(person("bob"), each, "approve")
    await budget.post(f"/v1/bands/{lead['id']}/remove")
    assert (await act(person("dan"), first, "approve")).json()["code"] == "not_an_approver"
    assert (await done(person("cat"), first, "approve"))["state"] == "approved"
    await band("buyer", "0", "dan")
    assert (await act(person("cat"), second, "approve")).json()["code"] == "not_an_approver"
    assert (await done(person("dan"), second, "approve"))["state"] == "submitted"
    assert (await done(person("cat"), second, "approve"))["state"] == "approved"


async def test_a_departments_band_is_passed_whichever_line_speaks_for_the_request(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    band = {"name": "brand", "above": money("0"), "department": "brand", "approvers": ["cat"]}
    assert (await budget.post("/v1/bands", json=band)).status_code == 201
    brand = await open_line(budget, department="brand", policy="warn")
    own = await ask(person("ada"), line, "1")
    hidden = await ask(person("ada"), line, "9", items=[{"line_id": brand["id"], "amount": money("9")}])
    assert (await act(person("bob"), own, "approve")).status_code == 200
    assert (await act(person("bob"), hidden, "approve")).json()["code"] == "not_an_approver"
    assert (await done(person("cat"), hidden, "approve"))["state"] == "approved"


async def test_a_band_in_another_currency_than_reports_are_in_is_passed_by_all(
    budget: httpx.AsyncClient, person: Person, apps: dict[str, FastAPI], workspace: Workspace, line: dict[str, Any]
) -> None:
    band = {"name": "head", "above": money("50"), "approvers": ["cat"]}
    assert (await budget.post("/v1/bands", json=band)).status_code == 201
    small, later = [await ask(person("ada"), line, "1") for _ in range(2)]
    assert (await act(person("bob"), small, "approve")).status_code == 200
    changed = Incoming(
        id=new_id(), source="/gateway", type="gateway.workspace.changed", subject=str(workspace.id), time=START,
        workspaceid=workspace.id, data={"name": "Test", "zone": "Europe/Berlin", "currency": "KWD"},
    )  # fmt: skip
    async with apps["budget"].state.database.tenant(workspace.id) as session:
        await learn_workspace(session, changed)
    assert (await act(person("bob"), later, "approve")).json()["code"] == "not_an_approver"


async def test_nobody_appoints_themselves_to_stand_in_for_an_approver(
    budget: httpx.AsyncClient, person: Person
) -> None:
    delegated = {"absent": "cat", "stand_in": "dan", "days": {"start": "2026-06-15", "end": "2026-06-16"}}
    refused = await person("dan").post("/v1/delegations", json=delegated)
    assert (refused.status_code, refused.json()["code"]) == (403, "four_eyes")
    assert (await person("cat").post("/v1/delegations", json=delegated)).status_code == 201


async def test_our_order_numbers_leave_out_those_that_were_given(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    asked = [await ask(person("ada"), line, "1") for _ in range(3)]
    for each in asked:
        await done(person("bob"), each, "approve")
    numbers = [{"po_number": "PO-000001"}, None, None]
    found = [await done(person("ada"), each, "commit", number) for each, number in zip(asked, numbers, strict=True)]
    assert [each["po_number"] for each in found] == ["PO-000001", "PO-000002", "PO-000003"]


async def test_what_has_expired_is_not_committed_though_nobody_has_let_go_of_it_yet(
    person: Person, line: dict[str, Any], clock: Clock, apps: dict[str, FastAPI]
) -> None:
    in_time, late = [await ask(person("ada"), line, "1") for _ in range(2)]
    for each in (in_time, late):
        await done(person("bob"), each, "approve")
    clock.forward(days=29, hours=23, minutes=59, seconds=59)
    assert (await act(person("ada"), in_time, "commit")).status_code == 200
    clock.forward(seconds=1)
    assert (await act(person("ada"), late, "commit")).json()["code"] == "expired"
    await run_once(apps["budget"], EXPIRE, asked=True)
    assert (await pots(person("ada"), line))["reserved"] == "0.00"
    clock.forward(days=-30)


async def test_items_of_one_line_are_held_together_and_rounded_once(
    budget: httpx.AsyncClient, person: Person, line: dict[str, Any]
) -> None:
    await budget.post("/v1/rates", json={"csv": "Date,USD\n2026-06-15,2"})
    body: Any = {"items": [{"line_id": line["id"], "amount": money("0.03", "USD")} for _ in range(2)]}
    asked = {"title": "x", "line_id": line["id"], "amount": money("0.06", "USD"), **body}
    assert (await budget.post("/v1/requests/check", json=asked)).json()["lines"][0]["asked"] == money("0.03")
    await done(person("bob"), await ask(person("ada"), line, "0.06", "USD", **body), "approve")
    assert (await pots(budget, line))["reserved"] == "0.03"


async def test_an_amount_that_cannot_be_kept_is_refused_by_its_field(
    budget: httpx.AsyncClient, line: dict[str, Any]
) -> None:
    body = {"title": "x", "line_id": line["id"], "amount": money("99999999999999999.9")}
    for path in ("/v1/requests", "/v1/requests/check"):
        assert wrong_fields(await budget.post(path, json=body)) == ["amount"]
