"""Decides what one sender does: a person, a script or a platform, who sends again until told."""

import asyncio
import hashlib
import io
import json
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

import aiohttp

from bench.faults.known import BERLIN, YEAR, Happening
from bench.faults.source import SENDGRID, Source

if TYPE_CHECKING:
    from bench.faults.load import Load

PAUSE = 0.1
READ = """
query Read($slug: String!) {
  campaign(slug: $slug) {
    id goals(first: 3) { nodes { id title progress { value } } } budget { allotted { amount } }
    assets(first: 3) { nodes { id title } }
  }
}
"""


class GaveUp(Exception):
    """The sender didn't wait for an answer, nor send again: nobody knows what became of it."""


class Refused(GaveUp):
    """What was sent is said to be wrong, and never is."""


class Worker:
    """One sender. What it does next follows from its own seed and what it was answered."""

    def __init__(self, load: "Load", number: int) -> None:
        self.load, self.number = load, number
        self.known = load.known
        self.rng = random.Random(f"{load.seed}/{number}")
        self.made = 0
        self.posted: list[tuple[Source, list[Happening]]] = []
        self.drafts: list[str] = []
        self.revocable: list[str] = []
        # Of its own rows, which nobody else edits: id -> the version last seen.
        self.campaigns: dict[str, int] = {}
        self.lines: dict[str, int] = {}
        self.acts: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (24, self.post_events), (10, self.post_again), (12, self.create_campaign), (7, self.create_objective),
            (4, self.create_goal), (4, self.activate_goal), (8, self.create_line), (24, self.allot),
            (8, self.edit_line), (6, self.edit_campaign), (4, self.cancel_campaign), (6, self.upload),
            (5, self.create_client), (2, self.revoke_client), (1, self.create_source), (6, self.read),
        ]  # fmt: skip

    def name(self, kind: str) -> str:
        self.made += 1
        return f"{kind}-{self.number}-{self.made}"

    async def work(self) -> None:
        weights = [weight for weight, _ in self.acts]
        while True:
            await self.load.turn()
            (_, act), *_ = self.rng.choices(self.acts, weights)
            with suppress(GaveUp):
                await act()
            self.load.finished()

    # How anything is sent.

    async def call(self, part: str, method: str, path: str, *, again: bool = True, **request: Any) -> Any:
        """What it is answered at last: sent again, the same, while nobody answers or somebody can't. GaveUp if the
        sender is of the kind that doesn't."""
        load, own = self.load, request.pop("headers", {})
        while True:
            headers = {"Authorization": f"Bearer {load.token}", **own}
            url = load.url(part, self.rng.randrange(load.replicas)) + path
            try:
                async with load.http.request(method, url, headers=headers, **request) as answer:
                    status, content = answer.status, await answer.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as problem:
                status, content = 0, type(problem).__name__.encode()
            self.known.answers[f"{part} {status or 'nothing'}"] += 1
            if status // 100 == 2:
                return json.loads(content) if content else None
            # What a webhook says to a platform that it doesn't know yet, while it can't look who that is.
            unknown = status == 429 and b"database_unavailable" in content
            if status == 500 or (status // 100 == 4 and not unknown):
                self.known.wrong.append(f"{method} {part} {path.split('/')[2]}: {status} {content[:300]!r}")
                raise Refused
            if not again:
                raise GaveUp
            await asyncio.sleep(PAUSE)

    async def write(
        self, kind: str, name: str, part: str, path: str, body: Any, mutation: tuple[str, str, str] | None = None
    ) -> Any:
        """One write under one Idempotency-Key, by REST or through the graph; what it was answered. Few give up."""
        self.known.sent(kind, name)
        again = self.rng.random() > 0.04
        key = f"{self.load.seed}/{kind}/{name}"
        if mutation is None or self.rng.random() < 0.6:
            answer = await self.call(part, "POST", path, json=body, headers={"Idempotency-Key": key}, again=again)
        else:
            answer = await self.mutate(kind, key, *mutation, body, again=again)
        self.known.told(kind, name, answer.get("id", ""))
        return answer

    async def mutate(
        self, kind: str, key: str, field: str, input_type: str, holds: str, body: Any, *, again: bool
    ) -> Any:
        shown = holds if " " in holds else f"{holds} {{ id }}"
        query = (
            f"mutation($input: {input_type}!, $key: String) "
            f"{{ {field}(input: $input, idempotencyKey: $key) {{ {shown} errors {{ code message }} }} }}"
        )
        variables = {"input": _in_graph(body), "key": key}
        while True:
            answer = await self.call("gateway", "POST", "/graphql", json={"query": query, "variables": variables},
                                     again=again)  # fmt: skip
            found = (answer.get("data") or {}).get(field)
            if found and not found["errors"] and found[holds.partition(" ")[0]]:
                return found[holds.partition(" ")[0]]
            codes = {error["extensions"]["code"] for error in answer.get("errors", ())}
            if not codes or codes - {"UPSTREAM_UNAVAILABLE", "UPSTREAM_TIMEOUT"}:
                self.known.wrong.append(f"{kind} through the graph: {json.dumps(answer)[:400]}")
                raise Refused
            if not again:
                raise GaveUp
            await asyncio.sleep(PAUSE)

    # What is sent.

    async def create_campaign(self, slug: str = "") -> None:
        if not slug and self.load.unborn and self.rng.random() < 0.1:
            slug = self.load.unborn.pop(0)
        slug = slug or self.name("campaign")
        body = {
            "name": f"Campaign {slug}", "slug": slug, "channels": ["email"], "territories": ["DE"],
            "flight": {"start": f"{YEAR}-01-01", "end": f"{YEAR + 2}-01-01"},
        }  # fmt: skip
        graph = ("createCampaign", "CampaignCreateInput", "campaign")
        answer = await self.write("campaign", slug, "goals", "/v1/campaigns", body, graph)
        await self.see("goals", "campaigns", answer["id"])
        if slug not in self.load.slugs:
            self.campaigns[answer["id"]] = 1

    async def edit_campaign(self) -> None:
        await self.edit("rename", "goals", "/v1/campaigns", "name", self.campaigns)

    async def edit_line(self) -> None:
        await self.edit("edit", "budget", "/v1/lines", "department", self.lines)

    async def edit(self, kind: str, part: str, path: str, field: str, versions: dict[str, int]) -> None:
        """Against the version last seen; whoever gave up has seen none, and leaves the row alone from then on."""
        if not versions:
            return
        row_id, version = versions.popitem()
        value = self.name(kind)
        self.known.sent(kind, value)
        headers = {"If-Match": f'"{version}"', "Idempotency-Key": f"{self.load.seed}/{kind}/{value}"}
        answer = await self.call(
            part, "PATCH", f"{path}/{row_id}", json={field: value}, headers=headers, again=self.rng.random() > 0.04
        )
        self.known.told(kind, value, row_id)
        if (answer[field], answer["version"]) != (value, version + 1):
            self.known.wrong.append(f"{kind} {value} of {row_id} at version {version} is answered with {answer}")
        versions[row_id] = answer["version"]

    async def cancel_campaign(self) -> None:
        """Budget hears of it and lets go of what it holds, and goals of that."""
        if self.campaigns:
            campaign_id, _ = self.campaigns.popitem()
            path = f"/v1/campaigns/{campaign_id}/cancel"
            await self.write("cancellation", campaign_id, "goals", path, {"reason": "no money"})

    async def create_objective(self) -> None:
        name = self.name("objective")
        graph = ("createObjective", "ObjectiveCreateInput", "objective")
        await self.write("objective", name, "goals", "/v1/objectives", {"name": name, "stakeholder": "cmo"}, graph)

    async def create_goal(self) -> None:
        # Few are measured by what goes on moving: each is evaluated whenever it does.
        tag = "tagged-0" if len(self.known.of("goal").told) < 10 else "tagged-1"
        title = self.name("goal")
        body = {
            "title": title, "campaign_ids": [self.known.of("campaign").told[tag]], "kind": "increase",
            "metric": {"key": "email.total_clicks"}, "baseline": {"from": f"{YEAR}-01-01", "to": f"{YEAR + 1}-01-01"},
            "target": {"change_percent": "25"}, "window": {"start": f"{YEAR + 1}-01-01", "due": f"{YEAR + 2}-01-01"},
            "owner": "mo", "relevance": "reach", "objective_id": self.load.objective,
        }  # fmt: skip
        graph = ("createGoal", "GoalCreateInput", "goal")
        await self.write("goal", title, "goals", "/v1/goals", body, graph)
        self.drafts.append(title)

    async def activate_goal(self) -> None:
        if not self.drafts:
            await self.create_goal()
        title = self.drafts.pop()
        goal_id = self.known.of("goal").told[title]
        await self.write("activation", title, "goals", f"/v1/goals/{goal_id}/activate", None)

    async def create_source(self, platform: str = "") -> None:
        platform = platform or self.rng.choice(["sendgrid", "standard"])
        source = Source(self.name("source"), platform)
        body = {"platform": platform, "name": source.name, "credentials": source.credentials}
        graph = ("createSource", "SourceCreateInput", "sourceCreated { id webhookUrl }")
        answer = await self.write("source", source.name, "metrics", "/v1/sources", body, graph)
        url = answer.get("webhook_url") or answer["webhookUrl"]
        source.url = url.removeprefix(self.load.url("metrics"))
        self.load.sources.append(source)

    def event(self, tag: str, kind: str = "", year: int = 0, source: str = "") -> Happening:
        kind = kind or self.rng.choice([*SENDGRID.values(), "opened", "clicked"])
        year = year or self.rng.choice([YEAR, YEAR + 1])
        start = datetime(year, 1, 1, tzinfo=BERLIN).timestamp()
        end = min(datetime(year + 1, 1, 1, tzinfo=BERLIN).timestamp(), time.time())
        # Some of a kind, person and message at different moments, so that distinct ones are fewer.
        message = f"message-{self.rng.randint(1, 400)}"
        moment = int(start + self.rng.random() * (end - start))
        url = f"https://example.com/{self.rng.randint(1, 5)}" if kind == "clicked" else ""
        person = f"person{self.rng.randint(1, 60)}@example.com"
        return Happening(source, kind, person, message, url, moment, tag)

    async def post_events(self) -> None:
        source = self.rng.choice(self.load.sources)
        tag = self.rng.choice(self.load.slugs[:1] + self.load.slugs[2:])
        await self.post([self.event(tag) for _ in range(self.rng.choice([1, 1, 3, 10, 40]))], source)

    async def post(self, events: list[Happening], source: Source) -> None:
        events = [Happening(**{**vars(event), "source": source.name}) for event in events]
        body = source.body(self.rng, events)
        while True:
            try:
                # Signed anew, as a platform does whose signature ages.
                await self.call("metrics", "POST", source.url, data=body, headers=source.headers(body), again=False)
                break
            except Refused:
                raise
            except GaveUp:
                await asyncio.sleep(PAUSE)
        self.known.posts += 1
        self.known.events.update(events)
        if len(self.posted) < 200:
            self.posted.append((source, events))
        else:
            self.posted[self.rng.randrange(200)] = (source, events)

    async def post_again(self) -> None:
        """What a platform does that missed an answer: the same events in another order, under new ids of its own."""
        if self.posted:
            source, events = self.rng.choice(self.posted)
            await self.post(self.rng.sample(events, len(events)), source)

    async def create_line(self) -> None:
        name = self.name("line")
        body = {
            "name": name, "department": "demand generation", "currency": "EUR", "policy": "stop",
            "campaign_id": self.known.of("campaign").told[self.rng.choice(self.load.slugs[:4])],
            "period": {"start": f"{YEAR}-01-01", "end": f"{YEAR + 2}-01-01"},
        }  # fmt: skip
        answer = await self.write("line", name, "budget", "/v1/lines", body, ("createLine", "LineCreateInput", "line"))
        self.load.lines.append(answer["id"])
        self.lines[answer["id"]] = 1

    async def allot(self) -> None:
        """Half of it on one line, which all want at once."""
        lines = self.load.lines
        line = lines[0] if self.rng.random() < 0.5 else self.rng.choice(lines)
        reason, cents = self.name("entry"), self.rng.randint(1, 100_000)
        self.known.amounts[reason] = (line, cents)
        body = {"amount": {"amount": f"{cents / 100:.2f}", "currency": "EUR"}, "reason": reason}
        await self.write("entry", reason, "budget", f"/v1/lines/{line}/allot", body)

    async def upload(self) -> None:
        """Takes no Idempotency-Key, so that each attempt is a write of its own."""
        size = self.rng.choices([2_000, 30_000, 1_300_000, 6_000_000], [60, 36, 3, 1])[0]
        content = b"\x89PNG\r\n\x1a\n" + self.rng.randbytes(size)
        while True:
            title = self.name("asset")
            form = aiohttp.FormData({"title": title, "kind": "logo"})
            form.add_field("campaign_id", self.known.of("campaign").told["tagged-2"])
            form.add_field("file", io.BytesIO(content), filename="logo.png", content_type="image/png")
            self.known.sent("asset", title)
            self.known.bytes[title] = hashlib.sha256(content).hexdigest()
            try:
                answer = await self.call("assets", "POST", "/v1/assets", data=form, again=False)
                break
            except Refused:
                raise
            except GaveUp:
                await asyncio.sleep(PAUSE)
        self.known.told("asset", title, answer["id"])

    async def create_client(self) -> None:
        name = self.name("client")
        answer = await self.write("client", name, "gateway", "/v1/api-clients", {"name": name, "roles": ["specialist"]})
        self.known.secrets[name] = (answer["id"], answer["client_secret"])
        self.revocable.append(name)

    async def revoke_client(self) -> None:
        if self.revocable:
            name = self.revocable.pop()
            client_id = self.known.secrets[name][0]
            await self.write("revocation", name, "gateway", f"/v1/api-clients/{client_id}/revoke", None)

    async def read(self) -> None:
        slug = self.rng.choice(self.load.slugs[:4])
        body = {"query": READ, "variables": {"slug": slug}}
        answer = await self.call("gateway", "POST", "/graphql", json=body)
        if not answer.get("errors") and not answer["data"]["campaign"]:
            self.known.wrong.append(f"campaign {slug}, told of long ago, isn't in the graph")

    async def counted(self) -> None:
        """Until the numbers hold what was posted, or plainly never will: goals take their baselines from them."""
        span = f"from={YEAR}-01-01&to={YEAR + 1}-01-01&grain=total"
        for _ in range(50):
            answer = await self.call("metrics", "GET", f"/v1/metrics/email.total_clicks/series?{span}")
            if any(point["value"] for each in answer["series"] for point in each["points"]):
                return
            await asyncio.sleep(PAUSE)

    async def see(self, part: str, plural: str, row_id: str) -> None:
        """What was just acknowledged is there: anything but the row is noted as wrong."""
        try:
            answer = await self.call(part, "GET", f"/v1/{plural}/{row_id}")
        except Refused:
            return  # it is noted, and what was acknowledged stands for those who go on with it
        if answer["id"] != row_id:
            self.known.wrong.append(f"{plural} {row_id} answers with {answer['id']}")


ENUMS = {"channels", "stakeholder", "kind", "policy", "platform"}


def _in_graph(value: Any, name: str = "") -> Any:
    """A REST body in the graph's spelling."""
    if isinstance(value, dict):
        return {_camel(key): _in_graph(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_in_graph(each, name) for each in value]
    return value.upper() if name in ENUMS and isinstance(value, str) else value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
