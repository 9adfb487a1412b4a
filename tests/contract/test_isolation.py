"""Tenants never meet: every id of one workspace, tried by another through every operation of every part, is answered as
an id that never was; and nothing of the first has changed afterwards."""

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest

from chassis.stack import parts
from chassis.testing import TestStack
from tests.contract.filled import Filled
from tests.contract.operations import Ask, Operation, Path, operations
from tests.contract.sweep import Answer, Stranger, batches
from tests.contract.tables import admin, digest, held, opened, some_of_each, tables
from tests.contract.values import target_of

Two = tuple[Filled, Filled]

# Who asks these has no workspace yet.
OF_EACH = 1  # ids tried of each table's column: another of the same kind proves no more
NO_WORKSPACE = {"issue_token", "get_jwks", "get_metadata"}


def everything(part: str) -> list[Operation]:
    return [each for each in operations(part) if each.id not in NO_WORKSPACE]


async def stranger_to(stack: TestStack, victim: Filled, intruder: Filled) -> Stranger:
    async with admin(stack) as connection:
        foreign = await some_of_each(connection, victim.id, OF_EACH)
        hidden, own = await held(connection, victim.id), await held(connection, intruder.id)
    assert len(foreign) > len(victim.rows)
    return Stranger(sorted(foreign), victim.canary, frozenset(hidden - own))


def tried_in(operation: Operation, slot: Path, victim: Filled, foreign: Sequence[str]) -> list[Any]:
    name = str(slot[-1] if not isinstance(slot[-1], int) else slot[-2])
    if slot[0] == "query" and not name.endswith("id"):
        return texts(name, victim)
    kind = target_of(name, operation.resource)
    # Everybody sees the periodic jobs.
    own = [str(row["id"]) for row in victim.rows.get(kind, ()) if "id" in row and not row.get("periodic")]
    return batches(operation, slot, foreign, own)


def texts(name: str, victim: Filled) -> list[str]:
    """What the other workspace's rows hold in the field of that name, as far as it is its own."""
    found = [row[name] for rows in victim.rows.values() for row in rows if isinstance(row.get(name), str)]
    return sorted({each for each in found if victim.canary in each})


async def leaks_of(operation: Operation, stranger: Stranger, victim: Filled, intruder: Filled) -> list[Any]:
    """Every way in which one operation tells of the other workspace."""

    def fresh() -> Ask:
        return operation.ask(intruder)

    async def send(asked: Ask, tried: Any) -> Answer:
        answer = await intruder.send(asked)
        return Answer.of(answer.status_code, answer.text, tried if isinstance(tried, list) else [tried])

    leaks: list[Any] = []
    plain = await send(fresh(), [])
    if seen := stranger.sees(plain, ids=operation.method == "GET"):
        leaks.append((operation.id, seen))
    grouped = "limit_per" in {each["name"] for each in operation.parameters}
    for slot in fresh().slots:
        tried = tried_in(operation, slot, victim, stranger.foreign)

        def by_itself(value: Any, slot: Path = slot) -> Any:
            return send(fresh().having(slot, value), value)

        def in_groups(value: Any, slot: Path = slot) -> Any:
            asked = fresh().having(slot, value)
            asked.query["limit_per"] = 5
            return send(asked, value)

        for way in (by_itself, in_groups) if grouped and slot[0] == "query" else (by_itself,):
            leaks += [(operation.id, slot, *each) for each in await stranger.tries(way, tried)]
    return leaks


@pytest.mark.parametrize("part", sorted(parts()))
async def test_a_foreign_id_is_answered_as_one_that_never_was(stack: TestStack, two: Two, part: str) -> None:
    victim, intruder = two
    stranger = await stranger_to(stack, victim, intruder)
    async with admin(stack) as connection:
        before = await digest(connection, victim.id)
        leaks = [
            leak for operation in everything(part) for leak in await leaks_of(operation, stranger, victim, intruder)
        ]
        assert leaks == []
        assert await digest(connection, victim.id) == before


@pytest.mark.parametrize("part", sorted(set(parts()) - {"gateway"}))
async def test_the_operations_tell_when_policies_are_opened(stack: TestStack, two: Two, part: str) -> None:
    """The sweep itself can fail: without the second wall, what reads hold is seen to be another's."""
    victim, intruder = two
    stranger = await stranger_to(stack, victim, intruder)
    reads = [each for each in everything(part) if each.method == "GET"]
    async with admin(stack) as connection:
        tenants = [str(each) for each in await tables(connection) if each.schema == part and each.is_tenant]
        async with opened(connection, tenants):
            for operation in reads:
                if await leaks_of(operation, stranger, victim, intruder):
                    return
    pytest.fail(f"no read of {part} tells of another workspace, though nothing else hides it")


async def test_a_foreign_cursor_leads_to_no_foreign_row(stack: TestStack, two: Two) -> None:
    victim, intruder = two
    stranger = await stranger_to(stack, victim, intruder)
    cursors = 0
    for operation in operations():
        if operation.method == "GET" and operation.takes_paging:
            asked = operation.ask(victim)
            asked.query["limit"] = 1
            cursor = (await victim.send(asked)).json().get("next_cursor")
            if cursor:
                asked = operation.ask(intruder)
                asked.query["cursor"] = cursor
                answer = await intruder.send(asked)
                assert not stranger.sees(Answer.of(answer.status_code, answer.text, [])), operation
                cursors += 1
    assert cursors > 5


async def test_a_foreign_idempotency_key_brings_no_foreign_answer(stack: TestStack, two: Two) -> None:
    """The same key and the same body, of the same subject, in another workspace: a write of its own."""
    victim, intruder = two
    tried = 0
    for operation in operations():
        if operation.creates and "Idempotency-Key" in {each["name"] for each in operation.parameters}:
            asked = operation.ask(intruder)
            asked.headers["Idempotency-Key"] = key = victim.text("key")
            first = await victim.send(asked)
            second = await intruder.send(asked)
            assert "idempotency-replayed" not in second.headers, operation
            if first.is_success:
                assert second.is_success, (operation, key)
                # Of what is named by a key, each workspace has its own under the same.
                assert "id" not in first.json() or first.json()["id"] != second.json()["id"]
                tried += 1
    assert tried


async def test_every_place_for_an_id_can_be_tried(two: Two) -> None:
    """Fails when an operation takes ids that nothing here has: give NAMES in tests/contract/values.py a line."""
    victim, _ = two
    for operation in operations():
        if operation.id == "receive_events" or operation.is_platform or operation.resource == "job":
            # Events come from service accounts alone; no job is left once it is done.
            continue
        for each in operation.parameters:
            schema = operation.resolved(each["schema"])
            item = operation.resolved(schema["items"]) if schema.get("type") == "array" else schema
            if item.get("format") == "uuid":
                assert victim.id_of(each["name"], operation.resource), (
                    f"nothing is known that {operation} {each['name']} names"
                )
        if operation.media:
            body = json.dumps(operation.said["requestBody"]["content"][operation.media].get("schema", {}))
            for name in set(re.findall(r"/schemas/(\w+)", body)):
                for field in re.findall(r'"(\w+_ids?)": \{', json.dumps(operation.schemas[name])):
                    assert victim.id_of(field, operation.resource), f"nothing is known that {operation}'s {field} names"
