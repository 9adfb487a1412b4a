"""Decides what services answer that cost nothing: at once, with rows of every field that their contracts promise. The
same row is the same in every answer, so that whoever asks for it in other ways gets the same."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import uvicorn

from chassis.serving import served
from gateway.derive.contract import Contract, load
from gateway.graphql import OPENAPI

CAMPAIGNS = 50


class Sampled:
    """Answers made of the contracts: every field, with a value of its kind."""

    def __init__(self) -> None:
        self._contract = Contract(load(OPENAPI))
        self._answers: dict[tuple[str, bytes, bytes], bytes] = {}
        self._ids = 0
        self.campaigns = [self.row("CampaignRead", slug=f"campaign-{number + 1}") for number in range(CAMPAIGNS)]
        self.goal = cache(lambda campaign, number: self.row("GoalRead", title=f"Goal {number + 1} of {campaign}"))
        self.position = cache(lambda campaign: self.row("PositionOfCampaign", campaign_id=campaign, problem=None))
        points = [self.row("SeriesPoint", start=f"2026-{month:02}-01", value=month / 7) for month in range(1, 13)]
        self.series = self.row("QueriedSeries", points=points, problem=None)

    def value(self, schema: Any, **own: Any) -> Any:
        schema = self._contract.resolved(schema)
        for several in ("anyOf", "oneOf", "allOf"):
            if several in schema:
                return self.value(schema[several][0])
        if "enum" in schema:
            return schema["enum"][0]
        if "properties" in schema:
            return {name: self.value(said) for name, said in schema["properties"].items()} | own
        if schema.get("type") == "array":
            return [self.value(schema["items"])]
        if schema.get("format") == "uuid":
            self._ids += 1
            return str(UUID(int=self._ids, version=4))
        texts = {"date": "2026-03-01", "date-time": "2026-03-01T12:00:00Z", "decimal": "1234.50"}
        return {"integer": 3, "number": 0.25, "boolean": False, "null": None, "object": {}}.get(
            schema.get("type", ""), texts.get(schema.get("format", ""), "as somebody has written it")
        )

    def row(self, name: str, **own: Any) -> Any:
        return self.value({"$ref": f"#/components/schemas/{name}"}, **own)

    def answer(self, path: str, query: bytes, body: bytes) -> bytes:
        key = (path, query, body)
        if key not in self._answers:
            made = self.make(path, parse_qs(query.decode()), body)
            self._answers[key] = json.dumps(made, separators=(",", ":")).encode()
        return self._answers[key]

    def make(self, path: str, query: dict[str, list[str]], body: bytes) -> Any:
        parents = query.get("campaign_id", [])
        if path == "/v1/campaigns":
            return {"items": self.campaigns[: int(query["limit"][0])], "next_cursor": None}
        if path == "/v1/goals":
            groups = [(each, self.goals(each, int(query["limit_per"][0]))) for each in parents]
            return {"groups": [{"key": key, "items": rows, "next_cursor": None} for key, rows in groups]}
        if path == "/v1/positions":
            return {"items": [self.position(each) for each in parents], "next_cursor": None}
        return {"series": [self.series for _ in json.loads(body)["queries"]]}

    def goals(self, campaign: str, count: int) -> list[Any]:
        return [self.goal(campaign, number) for number in range(count)]


def serve_samples(port: int, make: Callable[[], Sampled] = Sampled) -> None:
    """Blocks. Nothing else is served by this process."""
    sampled = make()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive()) and message.get("more_body"):
            body += message["body"]
        body += message.get("body", b"")
        found = sampled.answer(scope["path"], scope["query_string"], body)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(found)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": found})

    uvicorn.Server(served(app, host="127.0.0.1", port=port, lifespan="off")).run()
