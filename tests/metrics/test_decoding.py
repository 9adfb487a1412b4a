"""What one event that can't be decoded costs its neighbours: nothing."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.metrics.event.rules import MOST_ITEMS, UnreadableError
from services.metrics.source.platforms.decoding import members_of, split
from tests.metrics.conftest import Sender
from tests.metrics.test_event import listed, sent

HALF = "\\ud83d"
DEEP = "[" * 3000 + "]" * 3000
OPENED = {"type": "opened", "recipient": "ann@example.com", "message_id": "m1", "occurred_at": "2026-06-01T12:00:00Z"}


def with_field(event: dict[str, Any], field: str, value: str) -> str:
    """The event with a field of these very characters."""
    rest = json.dumps({name: of for name, of in event.items() if name != field})
    return f'{rest[:-1]}, "{field}": {value}}}'


def neighbours(sender: Sender, standard: Sender) -> tuple[dict[str, Any], str, str]:
    """An event, and two to stand before and after it."""
    event = OPENED if sender is standard else sent()
    name = "message_id" if sender is standard else "sg_message_id"
    return event, json.dumps({**event, name: "before"}), json.dumps({**event, name: "after"})


def bodies(sender: Sender, standard: Sender, *events: str) -> list[bytes]:
    array = f" [{' , '.join(events)}] "
    return [array.encode()] + ([f'{{"x": "]", "events":{array}}}'.encode()] if sender is standard else [])


@pytest.mark.parametrize("platform", ["sendgrid", "standard"])
@pytest.mark.parametrize("value", [f'{{"a": {DEEP}}}', "01", '"a\tb"', "{]"])
async def test_an_event_that_can_not_be_decoded_is_quarantined_alone(
    metrics: httpx.AsyncClient, request: pytest.FixtureRequest, sendgrid: Sender, standard: Sender, platform: str,
    value: str,
) -> None:  # fmt: skip
    sender: Sender = request.getfixturevalue(platform)
    event, before, after = neighbours(sender, standard)
    bad = with_field(event, "custom", value)
    for body in bodies(sender, standard, before, bad, after):
        answer = await sender.post_bytes(body)
        assert (answer.status_code, answer.json()) == (200, {"received": 2, "quarantined": 1})
    assert {each["message_id"] for each in await listed(metrics)} == {"before", "after"}
    (kept,) = (await metrics.get("/v1/quarantine")).json()["items"]
    assert kept["excerpt"] == bad[: len(kept["excerpt"])]


@pytest.mark.parametrize("platform", ["sendgrid", "standard"])
async def test_half_an_emoji_costs_no_event_and_a_retry_is_the_same(
    metrics: httpx.AsyncClient, request: pytest.FixtureRequest, sendgrid: Sender, standard: Sender, platform: str
) -> None:
    sender: Sender = request.getfixturevalue(platform)
    event, before, after = neighbours(sender, standard)
    halves = [
        with_field(event, field, f'"{text}"')
        for field, text in [
            ("custom", HALF), ("useragent", f"x {HALF}\\n"), ("url", f"https://a.example/{HALF}\\udF80{HALF}\\\\ud83d"),
        ]
    ]  # fmt: skip
    for _ in range(2):
        for body in bodies(sender, standard, before, *halves, after):
            answer = await sender.post_bytes(body)
            assert (answer.status_code, answer.json()) == (200, {"received": 5, "quarantined": 0})
    found = await listed(metrics)
    assert {each["url"] for each in found} == {None, "https://a.example/\U0001f780\ufffd\\ud83d"}
    # The user agent is no part of the identity of a standard event.
    assert len(found) == (5 if sender is sendgrid else 4)


async def test_one_event_alone_is_read_or_kept_too(metrics: httpx.AsyncClient, standard: Sender) -> None:
    for field, value, received in [("custom", f'"{HALF}"', 1), ("custom", DEEP, 0)]:
        answer = await standard.post_bytes(with_field(OPENED, field, value).encode())
        assert answer.json() == {"received": received, "quarantined": 1 - received}


@pytest.mark.parametrize(
    "body", [b'[{"a": "\\ud83d"}', b'["\\ud83d', b'["\\ud83d"]]', b'["\\ud83d",]', b'["\\ud83d"] x', b'["\\ud83d"}']
)
async def test_a_body_that_is_no_json_is_kept_whole(metrics: httpx.AsyncClient, sendgrid: Sender, body: bytes) -> None:
    assert (await sendgrid.post_bytes(body)).json() == {"received": 0, "quarantined": 1}
    (kept,) = (await metrics.get("/v1/quarantine")).json()["items"]
    assert kept["excerpt"] == body.decode()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.sampled_from('"\\[]{},:'))
    | st.text() | st.text(st.characters(categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@given(st.lists(VALUES, max_size=6), st.booleans(), st.sampled_from([None, 1]))
def test_an_array_is_split_into_its_items(items: list[Any], ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(items, ensure_ascii=ascii_only, indent=indent)
    parts = split(text.encode(errors="surrogatepass"), b"[", b"]")
    assert parts is not None
    assert [json.loads(part.decode(errors="surrogatepass")) for part in parts] == json.loads(text)


@given(st.dictionaries(st.text(), VALUES, max_size=6), st.sampled_from([None, 1]))
def test_an_object_is_split_into_its_members(members: dict[str, Any], indent: int | None) -> None:
    found = members_of(json.dumps(members, indent=indent).encode())
    assert found is not None
    assert {name: json.loads(value) for name, value in found.items()} == json.loads(json.dumps(members))


@given(st.binary() | st.text('"\\[]{},:a').map(str.encode))
def test_splitting_never_fails(body: bytes) -> None:
    for bytes_ in (body, b"[" + body + b"]", b"{" + body + b"}"):
        split(bytes_, b"[", b"]")
        members_of(bytes_)


@pytest.mark.parametrize("piece", [b'\\"', b"[", b'"', b"[[],[]", b'"",0,', b"\\"])
def test_what_is_never_closed_is_nothing_however_long(piece: bytes) -> None:
    for begins in (b'["', b"[["):
        assert split(begins + piece * (400_000 // len(piece)), b"[", b"]") is None


def test_there_is_a_most_that_is_split() -> None:
    with pytest.raises(UnreadableError):
        split(b"[" + b"1," * MOST_ITEMS + b"1]", b"[", b"]")
