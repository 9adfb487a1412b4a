"""Decides which requests are generated to break a service, and how some of them come to be granted: what schemathesis
makes of a contract, with what the workspace really holds put in its place."""

import json
import random
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import schemathesis
from hypothesis import given, seed
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from tests.contract.documents import wrong_answer
from tests.contract.filled import Filled, names_in, signed
from tests.contract.operations import Ask, Operation, operations
from tests.contract.tally import GRANTABLE, SEED, Tally, generating, has_nul, share
from tests.contract.values import BY_ANOTHER, TOGETHER
from tests.parts import APPS

# Refusals after which a row is as it was, and how often one serves: the same one for ever would show no depth.
UNTOUCHED = {400, 412, 422, 428}
MOST_SERVED = 20
# Parameters that are hardly ever granted as they are made up, and how often they stand in a request all the same.
SELDOM = {
    "cursor": 0.0, "limit_per": 0.0, "version": 0.05, "from": 0.1, "to": 0.1, "currency": 0.1, "into": 0.1,
    "Idempotency-Key": 0.1,
}  # fmt: skip
# Any day that there is, and more often one that a caller would name.
DAYS = st.one_of(*[st.dates(date(2020, 1, 1), date(2026, 6, 1))] * 3, st.dates()).map(str)


@dataclass(frozen=True)
class Way:
    """Which verbs lead a new row to where another one is granted; and whether that can be done again and again."""

    steps: list[Operation]
    again: bool


@dataclass
class Service:
    """One service under generated requests. `run` is how its tests wait for what is asynchronous."""

    part: str
    workspace: Filled
    run: Callable[[Any], Any]
    http: httpx.Client
    another: httpx.Client
    service_token: str
    # How a row comes to be where its kind's own verbs don't make it: by the operation's name, or the resource's.
    laid: Mapping[str, Callable[[], str]]
    tally: Tally = field(default_factory=Tally)
    _ways: dict[str, Way | None] = field(default_factory=dict)
    # Rows that the last case of an operation left as the next one needs them, and how often they served.
    _kept: dict[str, tuple[str, int]] = field(default_factory=dict)
    _strategies: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return [each.id for each in operations(self.part)]

    def go(self, cases: int) -> Tally:
        """So many cases, spread over the operations."""
        for name in self.names:
            self.cases_of(name, share(cases, len(self.names)))
        return self.tally

    def cases_of(self, name: str, count: int) -> None:
        """So many cases of one operation."""
        if not self._strategies:
            schemathesis.openapi.format("date", DAYS)
            document = schemathesis.openapi.from_dict(APPS[self.part].openapi())
            every: list[Any] = [each.ok() for each in document.get_all_operations()]  # type: ignore[union-attr]
            self._strategies = {each.definition.raw["operationId"]: each.as_strategy for each in every}
        operation = next(each for each in operations(self.part) if each.id == name)
        good = count * GRANTABLE // 10
        self._cases(operation, GenerationMode.POSITIVE, good)
        self._cases(operation, GenerationMode.NEGATIVE, count - good)
        # Where nothing about it can be wrong, or little can differ, the rest are others that would be granted.
        before = -1
        while before < (asked := self.tally.asked[name]) < count:
            before = asked
            self._cases(operation, GenerationMode.POSITIVE, count - asked)

    def _cases(self, operation: Operation, mode: GenerationMode, count: int) -> None:
        strategy = self._strategies[operation.id](generation_mode=mode)
        # Not hypothesis' own: that one prefers what is at the edge, so that a tenth is nearly always.
        started = self.tally.asked[operation.id]
        rng = random.Random(f"{SEED} {operation.id} {mode} {started}")

        @seed(SEED + started)
        @generating(count)
        @given(case=strategy)
        def one(case: Any) -> None:
            if mode is GenerationMode.POSITIVE:
                asked = self._grantable(operation, case, rng)
                answer = self._send(asked)
                self.settled(operation, asked.path.get(named_by(operation)), answer.status_code)
                media = answer.headers.get("content-type", "")
                nul = has_nul(str(answer.request.url), answer.request.read())
                self._note(operation, answer.status_code, media, answer.content, case, nul=nul)
                return
            row = None
            if case.path_parameters and rng.random() < 0.7:
                path = operation.ask(self.workspace).path
                # One of its own, as some of what is wrong isn't looked at: others go on with the workspace's.
                path |= self.row_for(operation) if operation.method != "GET" else {}
                row, case.path_parameters = path.get(named_by(operation)), {**case.path_parameters, **path}
            headers = {"Authorization": f"Bearer {self.service_token}"} if operation.id == "receive_events" else None
            answer = case.call(
                base_url=str(self.http.base_url).rstrip("/"), timeout=30, headers=headers or dict(self.http.headers)
            )
            media = (answer.headers.get("content-type") or [""])[0]
            body = answer.request.body or b""
            nul = has_nul(answer.request.url, body.encode() if isinstance(body, str) else body)
            self.settled(operation, row, answer.status_code)
            self._note(operation, answer.status_code, media, answer.content, case, nul=nul)

        with suppress(Unsatisfiable):  # some operations take nothing that could be wrong
            one()

    def _note(self, operation: Operation, status: int, media: str, content: bytes, case: Any, *, nul: bool) -> None:
        if content == b"Invalid HTTP request received.":
            return  # refused before any app sees it
        # Elsewhere a part may be away, or out of connections; nothing generated may bring it there.
        wrong = f"503: {content[:500]!r}" if status == 503 else wrong_answer(operation, status, media, content)
        if wrong:
            self.tally.broken.append(f"{operation.id}: {wrong}\n  {case.as_curl_command()[:600]}")
        self.tally.note(operation.id, granted=status < 400, refusal=content.decode(errors="replace"), nul=nul)

    def _grantable(self, operation: Operation, case: Any, rng: random.Random) -> Ask:
        """A request that would be granted, with some of its parts as they were generated."""
        asked = operation.ask(self.workspace, whole=rng.random() < 0.5)
        if operation.id == "receive_events":
            asked.body = [self._event()]
        if operation.method != "GET":
            asked.path |= self.row_for(operation)
        given = dict(case.query or {})
        for each in operation.parameters:
            name = each["name"]
            if each["in"] == "query" and name in given and ("query", name) not in asked.slots:
                often = SELDOM.get(name, 0.2 if each.get("required") else 0.5)
                if rng.random() < often:
                    asked.query[name] = given[name]
            if ("query", name) in asked.slots and rng.random() < 0.3:
                known = self.workspace.id_of(name, operation.resource) if name.endswith("id") else None
                asked.query |= {name: [known]} if known else {}
            if each["in"] == "header" and name.lower() == "if-match":
                asked.headers[name] = "*"
            elif each["in"] == "header" and name in (case.headers or {}) and rng.random() < SELDOM.get(name, 0.5):
                asked.headers[name] = case.headers[name]
        if _is_day(asked.query.get("from")) and _is_day(asked.query.get("to")):
            asked.query["from"], asked.query["to"] = sorted((asked.query["from"], asked.query["to"]))
        if isinstance(asked.body, dict) and isinstance(case.body, dict):
            settled = TOGETHER.get(operation.id, set())
            names = [name for name in case.body if name not in settled and (name in asked.body or rng.random() < 0.3)]
            # What has one field or two is hardly granted with one that was made up.
            made_up = rng.choice((0, 0, 0, 0, 1, 1, 2) if len(names) > 2 else (0, 0, 0, 1))
            for name in rng.sample(names, min(len(names), made_up)):
                asked.body[name] = case.body[name]
            if operation.method == "PATCH" and asked.body:
                kept = rng.sample(sorted(asked.body), min(len(asked.body), rng.randint(1, 2)))
                asked.body = {name: asked.body[name] for name in kept}
        elif isinstance(asked.body, list) and isinstance(case.body, list):
            asked.body += case.body[: rng.choice((0, 0, 1))]
        return asked

    def _event(self) -> dict[str, Any]:
        data = {"name": "Generated", "zone": "Europe/Berlin", "currency": "EUR"}
        return {
            "id": str(uuid4()), "source": "/gateway", "type": "gateway.workspace.created", "data": data,
            "subject": str(self.workspace.id), "time": datetime.now(UTC).isoformat(),
            "workspaceid": str(self.workspace.id),
        }  # fmt: skip

    def _send(self, asked: Ask) -> httpx.Response:
        operation, headers = asked.operation, dict(asked.headers)
        url = operation.path
        for name, value in asked.path.items():
            url = url.replace("{" + name + "}", quote(str(value), safe=""))
        sent: dict[str, Any] = {}
        if asked.body is not None and operation.media == "multipart/form-data":
            files = {"file": asked.body.get("file") if isinstance(asked.body.get("file"), bytes) else b"bytes"}
            sent = {"files": files, "data": {name: _told(each) for name, each in asked.body.items() if name != "file"}}
        elif asked.body is not None:
            content = asked.body if operation.media == "text/csv" else json.dumps(asked.body)
            sent, headers["Content-Type"] = {"content": content}, str(operation.media)
            if operation.id == "receive_webhook":
                headers |= signed(content, datetime.now(UTC))
        if operation.path.startswith("/v1/webhooks/"):
            address = self.workspace.greeted_url if operation.id == "check_webhook" else self.workspace.webhook_url
            url = "/v1/webhooks/" + address.rpartition("/")[2]
        if operation.id == "receive_events":
            headers["Authorization"] = f"Bearer {self.service_token}"
        encoded = {name.encode(): value.encode("latin-1", "replace") for name, value in headers.items()}
        http = self.another if operation.id in BY_ANOTHER else self.http
        return http.request(operation.method, url, params=asked.query, headers=encoded, **sent)

    def row_for(self, operation: Operation) -> dict[str, str]:
        """The path of a row that the verb can be done to: one that it left as it needs it, or a new one, led there."""
        name = named_by(operation)
        if operation.id in self._kept:
            return {name: self._kept[operation.id][0]}
        lay = self.laid.get(operation.id) or (self.laid.get(operation.resource) if name else None)
        found = lay() if lay else ""
        if lay or not name:
            return {name: found} if name else {}
        way = self._ways.get(operation.id)
        if operation.id not in self._ways:
            way = self._ways[operation.id] = self._way_to(operation)
        maker = self._maker(operation)
        if way is None or maker is None:
            return {}
        row = self._made(maker, name)
        for step in way.steps:
            self._do(step, row)
        return {name: row} if row else {}

    def settled(self, operation: Operation, row: str | None, status: int) -> None:
        """Keeps the row for the next case, unless this one took it to where it isn't granted any more."""
        way = self._ways.get(operation.id)
        served = self._kept.pop(operation.id, ("", 0))[1] + 1
        again = way.again if way else operation.method == "PATCH"
        known = way is not None or operation.id in self.laid
        as_it_was = status in UNTOUCHED or (status < 300 and again)
        if row and known and as_it_was and served < MOST_SERVED:
            self._kept[operation.id] = row, served

    def _maker(self, operation: Operation) -> Operation | None:
        path = operation.path.partition("/{")[0]
        return next((each for each in operations(self.part) if each.creates and each.path == path), None)

    def _made(self, maker: Operation, name: str) -> str:
        """A new row, with one of each that hangs on its kind: a campaign without goals can't be planned."""
        answer = self.run(self.workspace.create(maker))
        if not answer.is_success:
            return ""
        rows = self.workspace.rows[maker.resource]
        rows.insert(0, answer.json())
        for operation in operations(self.part):
            if operation.creates and operation is not maker and maker.resource in names_in(operation):
                self.run(self.workspace.create(operation))
        rows.pop(0)
        return str(answer.json().get(name, ""))

    def _do(self, operation: Operation, row: str) -> bool:
        asked = operation.ask(self.workspace)
        asked.path[named_by(operation)] = row
        asked.headers |= {"If-Match": "*"} if operation.method == "PATCH" else {}
        return self._send(asked).is_success

    def _way_to(self, operation: Operation) -> Way | None:
        """None: no verbs are known to lead there."""
        maker, name = self._maker(operation), named_by(operation)
        if maker is None:
            return None
        verbs = [
            each for each in operations(self.part)
            if each.method == "POST" and each.path.startswith(f"{maker.path}/{{{name}}}/") and each.id != operation.id
        ]  # fmt: skip
        ways: list[list[Operation]] = [[]]
        seen: set[str] = set()
        for _ in range(5):
            longer = []
            for way in ways:
                row = self._made(maker, name)
                if not all(self._do(step, row) for step in way):
                    continue
                state = str(self.http.get(f"{maker.path}/{row}").json().get("state"))
                if self._do(operation, row):
                    return Way(way, again=self._do(operation, row))
                if state not in seen:
                    seen.add(state)
                    longer += [[*way, each] for each in verbs]
            ways = longer
        return None


def named_by(operation: Operation) -> str:
    """The parameter that names the row which an operation is about; empty where it is about none."""
    found = re.match(r"/v1/[a-z-]+/\{(id|key)\}", operation.path)
    return found[1] if found else ""


def _is_day(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value) is not None


def _told(value: Any) -> Any:
    """A form's field: text, or several."""
    if isinstance(value, list):
        return [each if isinstance(each, str) else json.dumps(each) for each in value]
    return value if isinstance(value, str | bytes) else json.dumps(value)
