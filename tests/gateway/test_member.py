"""What the members list promises: an admin always stays, nobody raises themselves, and who leaves is forgotten."""

import asyncio
from typing import Any

import httpx
from sqlalchemy import text

from chassis.roles import scopes_of
from tests.gateway.access import as_bearer
from tests.parts import APPS, Connect, Workspace

ANY = {"If-Match": "*"}


async def add(admin: httpx.AsyncClient, name: str, *roles: str, signs_in: bool = True, **more: Any) -> dict[str, Any]:
    subject = {"subject": f"company:{name.lower()}"} if signs_in else {}
    made = await admin.post("/v1/members", json={"name": name, "roles": list(roles), **subject, **more})
    assert made.status_code == 201, made.text
    answer: dict[str, Any] = made.json()
    return answer


async def as_member(connect: Connect, workspace: Workspace, member: dict[str, Any]) -> httpx.AsyncClient:
    """What the member may after an exchange."""
    from datetime import timedelta

    from gateway.identity.token.signing import Grant, access_token

    roles = member["roles"]
    grant = Grant(member["subject"], "company", workspace.id, roles, sorted(scopes_of(roles)), timedelta(minutes=15))
    token = access_token(grant, workspace.stack.key, "http://gateway", workspace.stack.clock.now)
    return await as_bearer(connect, "gateway", token)


async def test_a_member_is_known_by_one_subject_at_a_time(connect: Connect, workspace: Workspace) -> None:
    admin = connect("gateway", workspace)
    ada = await add(admin, "Ada", "manager", email="ada@example.com")
    assert (ada["state"], ada["version"], ada["created_by"]) == ("active", 1, "client:test")
    again = await admin.post("/v1/members", json={"name": "A.", "roles": ["admin"], "subject": "company:ada"})
    assert (again.status_code, again.json()["errors"][0]["field"]) == (409, "subject")
    await admin.post(f"/v1/members/{ada['id']}/remove")
    assert (await add(admin, "Ada", "contributor"))["id"] != ada["id"]
    local = await add(admin, "Bob", "contributor", signs_in=False)
    assert local["subject"] == f"member:{local['id']}"
    for subject in ("service:goals", "client:1", "member:1", "operator:1", "nobody", "Company:1", "company:"):
        refused = await admin.post("/v1/members", json={"name": "x", "roles": ["admin"], "subject": subject})
        assert refused.status_code == 422, subject


async def test_who_is_removed_is_forgotten_and_never_comes_back(connect: Connect, workspace: Workspace) -> None:
    admin = connect("gateway", workspace)
    ada = await add(admin, "Ada Lovelace", "manager", email="ada@example.com")
    await admin.patch(f"/v1/members/{ada['id']}", json={"email": "countess@example.com"}, headers=ANY)
    gone = (await admin.post(f"/v1/members/{ada['id']}/remove")).json()
    assert (gone["state"], gone["name"], gone["email"]) == ("removed", "", None)
    assert (await admin.post(f"/v1/members/{ada['id']}/resume")).json()["code"] == "wrong_state"
    assert (await admin.patch(f"/v1/members/{ada['id']}", json={"name": "x"}, headers=ANY)).status_code == 409
    async with APPS["gateway"].state.database.tenant(workspace.id) as session:
        for table in ("member", "audit"):
            rows = (await session.execute(text(f"SELECT t::text FROM {table} t"))).scalars().all()
            assert rows
            assert not [row for row in rows if "Lovelace" in row or "@example.com" in row], table


async def test_addresses_are_for_those_who_keep_the_list(connect: Connect, workspace: Workspace) -> None:
    ada = await add(connect("gateway", workspace), "Ada", "manager", email="ada@example.com")
    for role, shown in (("admin", "ada@example.com"), ("manager", None), ("stakeholder", None)):
        reader = connect("gateway", workspace, role)
        assert (await reader.get(f"/v1/members/{ada['id']}")).json()["email"] == shown
        assert (await reader.get("/v1/members")).json()["items"][0]["email"] == shown


async def test_nobody_raises_their_own_roles(connect: Connect, workspace: Workspace) -> None:
    admin = connect("gateway", workspace)
    await add(admin, "Root", "admin")
    ada = await add(admin, "Ada", "admin")
    own = await as_member(connect, workspace, ada)
    assert (await own.patch(f"/v1/members/{ada['id']}", json={"roles": ["manager"]}, headers=ANY)).status_code == 200
    back = await own.patch(f"/v1/members/{ada['id']}", json={"roles": ["admin"]}, headers=ANY)
    assert (back.status_code, back.json()["code"]) == (403, "own_roles")


async def test_a_suspended_member_administers_nothing_with_the_token_they_have(
    connect: Connect, workspace: Workspace
) -> None:
    admin = connect("gateway", workspace)
    await add(admin, "Root", "admin")
    ada = await add(admin, "Ada", "admin")
    own = await as_member(connect, workspace, ada)
    for verb in ("suspend", "remove"):
        await admin.post(f"/v1/members/{ada['id']}/{verb}")
        refused = await own.post("/v1/members", json={"name": "x", "roles": ["admin"]})
        assert (refused.status_code, refused.json()["code"]) == (403, "access_ended")


async def test_the_last_admin_stays(connect: Connect, workspace: Workspace) -> None:
    admin = connect("gateway", workspace)
    ada = await add(admin, "Ada", "admin")
    await add(admin, "Local", "admin", signs_in=False)
    await add(admin, "Bob", "manager")
    for asked in (
        admin.post(f"/v1/members/{ada['id']}/suspend"),
        admin.post(f"/v1/members/{ada['id']}/remove"),
        admin.patch(f"/v1/members/{ada['id']}", json={"roles": ["manager"]}, headers=ANY),
    ):
        answer = await asked
        assert (answer.status_code, answer.json()["code"]) == (409, "last_admin")
    assert (await admin.get(f"/v1/members/{ada['id']}")).json()["state"] == "active"


async def test_of_two_admins_who_remove_each_other_at_once_one_stays(connect: Connect, workspace: Workspace) -> None:
    admin = connect("gateway", workspace)
    both = [await add(admin, name, "admin") for name in ("Ada", "Bob")]
    answers = await asyncio.gather(*(admin.post(f"/v1/members/{each['id']}/suspend") for each in both))
    assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_members_are_listed_sorted_and_filtered(connect: Connect, workspace: Workspace) -> None:
    admin = connect("gateway", workspace)
    _, bob, eve = [
        await add(admin, name, role) for name, role in (("Ada", "admin"), ("Bob", "manager"), ("Eve", "manager"))
    ]
    await admin.post(f"/v1/members/{eve['id']}/suspend")

    async def names(query: str) -> list[str]:
        return [each["name"] for each in (await admin.get(f"/v1/members?{query}")).json()["items"]]

    assert await names("sort=-name") == ["Eve", "Bob", "Ada"]
    assert await names("role=manager") == ["Bob", "Eve"]
    assert await names("state=suspended") == ["Eve"]
    assert await names("subject=company:ada&subject=company:bob") == ["Ada", "Bob"]
    assert await names(f"id={bob['id']}") == ["Bob"]
    first = (await admin.get("/v1/members?limit=2&sort=name")).json()
    assert await names(f"limit=2&sort=name&cursor={first['next_cursor']}") == ["Eve"]


async def test_an_edit_needs_the_version_that_was_seen(connect: Connect, workspace: Workspace) -> None:
    admin = connect("gateway", workspace)
    ada = await add(admin, "Ada", "manager")
    url = f"/v1/members/{ada['id']}"
    assert (await admin.patch(url, json={"name": "A."})).status_code == 428
    edited = await admin.patch(url, json={"name": "A."}, headers={"If-Match": '"1"'})
    assert (edited.json()["name"], edited.json()["version"]) == ("A.", 2)
    assert (await admin.patch(url, json={"name": "B."}, headers={"If-Match": '"1"'})).status_code == 412
    assert (await admin.patch(url, json={"subject": "company:eve"}, headers=ANY)).status_code == 422
