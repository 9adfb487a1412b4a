"""Decides in which shapes the peers are given the sampled rows.

Tailcall reads what we read; only the series, which we ask for by many queries in a POST, it gets in a GET by campaign.
Hive merges entities: it wants each campaign back with what hangs on it, and is told so in OpenAPI documents.
"""

from typing import Any

from bench.sampled import Sampled

TEXT, NUMBER = {"type": "string"}, {"type": "number"}


class Shaped(Sampled):
    """The services as they are, and as the peers want them."""

    def make(self, path: str, query: dict[str, list[str]], body: bytes) -> Any:
        _, kind, *name = path.split("/")
        if kind == "described":
            return DESCRIBED[name[0]]
        if kind == "flat":
            return {"series": [self.series | {"campaign_id": each} for each in query["campaign_id"]]}
        if kind == "merged":
            return [{"id": each, **self.merged(name[0], each)} for each in query["ids"]]
        return super().make(path, query, body)

    def merged(self, name: str, campaign: str) -> dict[str, Any]:
        if name == "goals":
            return {"goals": self.goals(campaign, 3)}
        return {"budget": self.position(campaign)["position"]} if name == "budget" else {"series": self.series}


def _object(name: str, /, **fields: Any) -> dict[str, Any]:
    return {"title": name, "type": "object", "properties": fields, "required": list(fields)}


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


def _described(name: str, path: str, parameter: str, kind: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """A service of one GET as OpenAPI has it."""
    asked = {"name": parameter, "in": "query", "required": True, "schema": kind}
    content = {"application/json": {"schema": answer}}
    answered = {"200": {"description": "what there is", "content": content}}
    operation = {"operationId": name, "parameters": [asked], "responses": answered}
    return {"openapi": "3.0.3", "info": {"title": name, "version": "1"}, "paths": {path: {"get": operation}}}


def _merged(name: str, hanging: dict[str, Any]) -> dict[str, Any]:
    campaigns = _list(_object("Campaign", id=TEXT, **{name: hanging}))
    return _described(f"{name}ByIds", f"/merged/{name}", "ids", _list(TEXT), campaigns)


_MONEY = _object("Money", amount=TEXT, currency=TEXT)
_CAMPAIGN = _object("Campaign", id=TEXT, name=TEXT, slug=TEXT, state=TEXT)
_GOAL = _object("Goal", id=TEXT, title=TEXT, state=TEXT, metric=_object("Metric", key=TEXT), target_value=NUMBER)
_POSITION = _object("Position", allotted=_MONEY, committed=_MONEY, actual=_MONEY, available=_MONEY)
_POINT = _object("Point", start=TEXT, value=NUMBER, numerator=NUMBER, denominator=NUMBER)

DESCRIBED = {
    "campaigns": _described(
        "campaigns", "/v1/campaigns", "limit", {"type": "integer"}, _object("CampaignPage", items=_list(_CAMPAIGN))
    ),
    "goals": _merged("goals", _list(_GOAL)),
    "budget": _merged("budget", _POSITION),
    "series": _merged("series", _object("Series", points=_list(_POINT))),
}
