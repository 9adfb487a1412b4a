"""Decides what the contract of events is: an AsyncAPI document of all that any part tells, and how a later one breaks
it."""

import importlib
from collections.abc import Iterator
from typing import Any

from chassis.outbox import Event
from chassis.stack import parts
from deploy.breaking import Break

Document = dict[str, Any]


def published() -> Iterator[type[Event]]:
    """Every kind of event, by its name."""
    for part, row in parts().items():
        package = row.app.partition(":")[0].rpartition(".")[0]
        kinds: tuple[type[Event], ...] = importlib.import_module(f"{package}.events").PUBLISHES
        for kind in sorted(kinds, key=lambda each: each.type):
            if kind.type.partition(".")[0] != part:
                raise ValueError(f"{kind.type} can't be told by {part}")
            yield kind


def document() -> Document:
    """AsyncAPI 3.0: one channel, of which each message is a CloudEvent."""
    kinds = list(published())
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "MOps events",
            "version": "1",
            "description": "What happens in a workspace, as webhooks and subscriptions tell it: at least once, and in"
            " order for each subject, but that what a webhook's receiver didn't take comes to it later.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "events": {
                "description": "All events of a workspace that a listener asked for and may hear.",
                "messages": {kind.type: {"$ref": f"#/components/messages/{kind.type}"} for kind in kinds},
            }
        },
        "operations": {"tell": {"action": "send", "channel": {"$ref": "#/channels/events"}}},
        "components": {
            "messages": {
                kind.type: {
                    "name": kind.type,
                    "title": kind.__name__,
                    "summary": words_of(kind),
                    "payload": {"$ref": f"#/components/schemas/{kind.type}"},
                }
                for kind in kinds
            },
            "schemas": {kind.type: envelope(kind) for kind in kinds},
        },
    }


def words_of(kind: type[Event]) -> str:
    if not kind.__doc__:
        raise ValueError(f"{kind.type} doesn't say what happened")
    return " ".join(kind.__doc__.split())


def envelope(kind: type[Event]) -> Document:
    """JSON Schema of an event as it is sent: CloudEvents 1.0, with its own `data`."""
    text = {"type": "string"}
    return {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "subject", "time", "workspaceid", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "format": "uuid", "description": "The same each time that it is told."},
            "source": {"const": f"/{kind.type.partition('.')[0]}"},
            "type": {"const": kind.type},
            "subject": {**text, "description": "The id of what it happened to."},
            "time": {**text, "format": "date-time"},
            "workspaceid": {**text, "format": "uuid"},
            "datacontenttype": {"const": "application/json"},
            "traceparent": {**text, "description": "The trace in which it happened (W3C)."},
            "data": kind.model_json_schema(mode="serialization"),
        },
    }


def breaks(before: Document, after: Document) -> list[Break]:
    """What listeners relied on and isn't there any more: kinds of events, and fields of what is said."""
    found = []
    now = after["components"]["schemas"]
    for kind, schema in before["components"]["schemas"].items():
        if kind not in now:
            found.append(Break(kind, "isn't told any more"))
            continue
        had, has = (each["properties"]["data"].get("properties", {}) for each in (schema, now[kind]))
        found += [Break(f"{kind}.{field}", "isn't said any more") for field in had if field not in has]
        found += [
            Break(f"{kind}.{field}", "is of another type")
            for field in had.keys() & has.keys()
            if _type_of(had[field]) != _type_of(has[field])
        ]
    return found


def _type_of(schema: Document) -> Document:
    return {name: value for name, value in schema.items() if name not in ("title", "description", "examples")}
