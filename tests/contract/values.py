"""Decides what stands in requests where the contract alone doesn't say what would be granted: the one table that a new
slice may need a line in."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from gateway.derive.kinds import Ref, Refs
from gateway.edges import EDGES

SIGNING_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

# With every column that a mapping names.
STATEMENT = (
    b"Booking date,Amount,Currency,Payee,Transaction,Purpose,Purchase order,Cost centre\n"
    b"2026-03-02,10.00,EUR,Print shop,T-1,Leaflets,,4711\n"
)

TODAY = "the day that it is where the request goes"

# Operation -> fields of its body that must be so.
BODIES: Mapping[str, dict[str, Any]] = {
    "create_campaign": {"flight": {"start": "2026-01-01", "end": "2035-01-01"}},
    "create_asset": {"kind": "document"},
    "create_contract": {"term": {"start": "2026-01-01", "end": "2035-01-01"}},
    "create_statement_mapping": {
        "columns": {
            "date": "Booking date", "amount": "Amount", "currency": "Currency", "vendor": "Payee",
            "reference": "Transaction", "description": "Purpose", "po_number": "Purchase order", "line": "Cost centre",
        }
    },
    "create_goal": {"kind": "reach", "target": {"value": 1000}},
    "update_goal": {"target": {"value": 1000}},
    "revise_goal": {"target": {"value": 2000}},
    "create_metric": {
        "expression": "100 * opens / clicks", "observed": None, "currency": None, "unit": "percent", "grain": "day",
    },
    "create_observation": {"money": None, "value": "25", "day": TODAY},
    "import_observations": {"rows": [{"metric": "web.visits", "day": "2026-06-14", "value": "25"}]},
    "correct_observation": {"money": None, "value": "20"},
    "create_alert": {"metric": "web.visits", "kind": "above", "grain": "day", "value": 5},
    # One that stops has nothing before money is allotted to those above it. It has to last for all that is asked of it.
    "create_line": {"policy": "warn"},
    "allot_line": {"amount": {"amount": "10000000.00", "currency": "EUR"}},
    "create_source": {
        "platform": "standard", "credentials": {"signing_secret": SIGNING_SECRET}, "campaign_by": ["tags"],
    },
    "update_source": {"campaign_by": ["tags"]},
    "create_statement": {"file": STATEMENT},
    "erase_recipient": {"address": "gone@example.com", "address_hash": None},
    "replay_quarantine": {"ids": []},
    "rotate_source": {"credentials": {"signing_secret": SIGNING_SECRET}},
}  # fmt: skip

# Reference -> what it names, where its name doesn't say so and no edge of the graph does.
NAMES = {"row_id": "campaign", "reserve_line_id": "line", "subject_id": "request", "spend_request": "request"}

# Verbs that somebody else must say: who made a thing doesn't approve it.
BY_ANOTHER = {
    "approve_asset", "send_back_asset", "approve_spend_request", "reject_spend_request", "approve_transfer",
    "reject_transfer", "accept_invoice",
}  # fmt: skip

# Fields that hold only beside each other, which no schema says: they stay as they are where a request is to be granted.
TOGETHER = {
    "create_source": {"platform", "credentials", "campaign_by", "bot_networks"},
    "update_source": {"campaign_by", "bot_networks"},
    "replay_quarantine": {"ids", "source_id"},
    "rotate_source": {"credentials"},
    "create_statement_mapping": {"columns"},
    "create_metric": {"expression", "observed", "unit", "currency"},
    "update_metric": {"expression", "observed", "unit", "currency"},
}

LATER = {"to", "end", "until", "due"}


@cache
def target_of(name: str, resource: str) -> str:
    """Which resource a reference names: `campaign_ids` campaigns, a line's `parent_id` lines."""
    for edge in EDGES:
        if isinstance(edge, Ref | Refs):
            field = edge.id if isinstance(edge, Ref) else edge.ids
            if field == name and edge.name.partition(".")[0].lower() == resource.replace("_", ""):
                found = singular_of(edge.operation)
                return NAMES.get(found, found)
    if name == "id":
        return resource
    return NAMES.get(name, re.sub(r"_ids?$", "", name))


def singular_of(operation: str) -> str:
    plural = operation.removeprefix("list_")
    return re.sub(r"ies$", "y", plural) if plural.endswith("ies") else plural.removesuffix("s")


def plain(schema: Mapping[str, Any], name: str, text: str) -> Any:
    """A value that isn't an id: its example, or something of its kind."""
    examples = schema.get("examples") or ([schema["example"]] if "example" in schema else [])
    kind, shape = schema.get("type"), schema.get("format")
    if shape == "binary":
        return text.encode()
    if (kind == "string" and shape is None and not (examples or schema.get("pattern"))) or name in (
        "name",
        "title",
        "number",
    ):
        return text[: schema.get("maxLength", 200)]
    if examples and "pattern" in schema:
        own = f"{examples[0]}-{text.replace(f' {name} ', '-')}"
        return own if re.fullmatch(schema["pattern"], own) else examples[0]
    if examples:
        return examples[0]
    if shape == "date":
        return "2027-01-01" if name in LATER else "2026-01-01"
    if shape == "date-time":
        return datetime(2026, 6, 15, 12, tzinfo=UTC).isoformat()
    return {"string": "10", "integer": 1, "number": 1, "boolean": False}.get(str(kind))
