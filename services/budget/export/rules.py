"""Decides what can be taken away as a table, and what stands in its columns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

_POSITION = ("allotted", "transferred", "reserved", "committed", "actual", "available", "fx", "price")


class ExportKind(StrEnum):
    """What is taken away: one table of all its rows."""

    LINES = "lines"
    ENTRIES = "entries"
    REQUESTS = "requests"
    REQUEST_ITEMS = "request-items"
    DECISIONS = "decisions"
    INVOICES = "invoices"
    TRANSFERS = "transfers"
    VENDORS = "vendors"
    CONTRACTS = "contracts"
    CONTRACT_DECISIONS = "contract-decisions"
    OBLIGATIONS = "obligations"
    FULFILMENTS = "fulfilments"
    SEATS = "seats"
    COMPANY_FIGURES = "company-figures"
    SCENARIOS = "scenarios"
    SCENARIO_LINES = "scenario-lines"
    CALENDARS = "calendars"
    PERIODS = "periods"
    BANDS = "bands"
    DELEGATIONS = "delegations"
    RATES = "rates"
    STATEMENTS = "statements"
    STATEMENT_ROWS = "statement-rows"


@dataclass(frozen=True)
class Sheet:
    """A table. `columns`: headings, by the column of `t`, or of what it is joined with, that stands there. `money`: the
    headings whose minor units become amounts, by the heading that names their currency."""

    table: str
    columns: Mapping[str, str]
    money: Mapping[str, str] = field(default_factory=dict)
    joins: Mapping[str, str] = field(default_factory=dict)


def _same(*names: str) -> dict[str, str]:
    return {name: f"t.{name}" for name in names}


# Whose line it is, in words.
_LINE = {"line": "line_id"}
_OF_LINE = {"line": "line.name", "department": "line.department"}
_VENDOR = {"vendor": "vendor_id"}

SHEETS: Mapping[ExportKind, Sheet] = {
    ExportKind.LINES: Sheet(
        "line",
        {
            **_same("id", "name", "department", "channel", "campaign_id", "parent_id", "period_start", "period_end",
                    "policy", "currency"),
            **{pot: f"balance.{pot}" for pot in _POSITION if pot != "available"},
            "available": "balance.allotted + balance.transferred - balance.reserved - balance.committed"
            " - balance.actual",
        },
        dict.fromkeys(_POSITION, "currency"), {"balance": "id"},
    ),
    ExportKind.ENTRIES: Sheet(
        "entry",
        {
            **_same("id", "line_id"), **_OF_LINE,
            **_same("seq", "kind", "booked_on", "recorded_at", "recorded_by", "reason"),
            "currency": "line.currency", **_same(*_POSITION),
            **_same("original_currency"), "original": "t.original_minor",
            **_same("rate", "rate_on", "movement_id", "subject_id", "reverses"),
        },
        {**dict.fromkeys(_POSITION, "currency"), "original": "original_currency"}, _LINE,
    ),
    ExportKind.REQUESTS: Sheet(
        "request",
        {
            **_same("id", "title", "line_id"), "line": "line.name",
            **_same("department", "category", "campaign_id", "vendor", "currency", "amount", "received", "invoiced",
                    "state", "reason", "requested_by", "created_at", "submitted_at", "decided_at", "decided_by",
                    "decision_seconds", "layers_done", "expires_at", "po_number", "committed_at", "ended_at"),
            "asset_ids": "array_to_string(t.asset_ids, ' ')",
        },
        dict.fromkeys(("amount", "received", "invoiced"), "currency"), _LINE,
    ),
    ExportKind.REQUEST_ITEMS: Sheet(
        "request_item",
        {
            **_same("id", "request_id"), "title": "request.title", **_same("line_id"), **_OF_LINE,
            "currency": "request.currency", **_same("amount", "description"),
            "period_start": "t.start", "period_end": "t.finish",
        },
        {"amount": "currency"}, {**_LINE, "request": "request_id"},
    ),
    ExportKind.DECISIONS: Sheet(
        "decision",
        _same("id", "request_id", "layer", "band_name", "verdict", "decided_by", "in_place_of", "waited_since",
              "decided_at", "seconds", "reason"),
    ),
    ExportKind.INVOICES: Sheet(
        "invoice",
        {
            **_same("id", "line_id"), **_OF_LINE,
            **_same("request_id", "vendor", "number"), "date": "t.dated",
            **_same("currency", "amount", "state", "problem", "reason", "received_by", "received_at", "accepted_by"),
            "accepted": "array_to_string(t.accepted, ' ')", **_same("posted_by", "posted_at", "ended_at"),
            "line_currency": "line.currency", **_same("spent"),
        },
        {"amount": "currency", "spent": "line_currency"}, _LINE,
    ),
    ExportKind.TRANSFERS: Sheet(
        "transfer",
        _same("id", "from_line_id", "to_line_id", "currency", "amount", "reason", "state", "proposed_by", "created_at",
              "decided_by", "decided_at", "rate", "rate_on"),
        {"amount": "currency"},
    ),
    ExportKind.VENDORS: Sheet("vendor", _same("id", "name", "status", "payment_days", "currency", "notes")),
    ExportKind.CONTRACTS: Sheet(
        "contract",
        {
            **_same("id", "name", "vendor_id"), "vendor": "vendor.name",
            **_same("category", "department", "line_id", "campaign_id", "state", "term_start", "term_end",
                    "window_opens", "notice_deadline", "auto_renews", "renewal_months", "seat_count", "currency"),
            "cost": "t.cost_minor", "renewal_cost": "t.renewal_minor", "reserved": "t.held_minor",
            **_same("decision", "by_default", "decision_reason", "decided_by", "decided_at"),
        },
        dict.fromkeys(("cost", "renewal_cost", "reserved"), "currency"), _VENDOR,
    ),
    ExportKind.CONTRACT_DECISIONS: Sheet(
        "contract_decision",
        {
            **_same("id", "contract_id"), "contract": "contract.name",
            **_same("kind", "by_default", "reason", "decided_by", "decided_at", "term_start", "term_end", "currency"),
            "cost": "t.cost_minor", "next_cost": "t.next_minor", **_same("idle_seats"), "wasted": "t.wasted_minor",
        },
        dict.fromkeys(("cost", "next_cost", "wasted"), "currency"), {"contract": "contract_id"},
    ),
    ExportKind.OBLIGATIONS: Sheet(
        "obligation",
        {
            **_same("id", "vendor_id"), "vendor": "vendor.name",
            **_same("contract_id", "words", "owner", "first_due", "every_months", "times_met", "due", "is_met"),
        },
        joins=_VENDOR,
    ),
    # Whose they are is told by ids, which say nothing of anybody.
    ExportKind.SEATS: Sheet(
        "seat",
        {
            **_same("id", "contract_id"), "contract": "contract.name",
            **_same("person_id", "department", "assigned_on", "last_used_on", "active_on", "is_released",
                    "released_on"),
        },
        joins={"contract": "contract_id"},
    ),
    ExportKind.FULFILMENTS: Sheet(
        "fulfilment", _same("id", "obligation_id", "due", "met_by", "met_at", "evidence", "words")
    ),
    ExportKind.COMPANY_FIGURES: Sheet(
        "company_figure",
        {
            **_same("id", "name", "kind", "period_start", "period_end", "currency"), "amount": "t.minor",
            **_same("created_by", "created_at"),
        },
        {"amount": "currency"},
    ),
    ExportKind.SCENARIOS: Sheet(
        "scenario",
        {
            **_same("id", "name", "line_id"), "line": "line.name",
            **_same("before_id", "state", "created_by", "created_at", "decided_by", "decided_at"),
        },
        joins=_LINE,
    ),
    ExportKind.SCENARIO_LINES: Sheet(
        "scenario_line",
        {
            **_same("id", "scenario_id"), "scenario": "scenario.name", **_same("line_id"), **_OF_LINE,
            **_same("period_start", "period_end", "currency"), "amount": "t.minor",
        },
        {"amount": "currency"}, {**_LINE, "scenario": "scenario_id"},
    ),
    ExportKind.CALENDARS: Sheet("calendar", _same("id", "name", "scheme", "start_month", "created_at")),
    ExportKind.PERIODS: Sheet(
        "period",
        {
            **_same("id", "calendar_id"), "calendar": "calendar.name",
            **_same("name", "year", "start"), "end": "t.finish", **_same("state", "changed_by", "changed_at"),
        },
        joins={"calendar": "calendar_id"},
    ),
    ExportKind.BANDS: Sheet(
        "band",
        {
            **_same("id", "name", "above", "currency", "department", "category"),
            "approvers": "array_to_string(t.approvers, ', ')", **_same("created_at"),
        },
        {"above": "currency"},
    ),
    ExportKind.DELEGATIONS: Sheet(
        "delegation",
        {**_same("id", "absent", "stand_in", "start"), "end": "t.finish", **_same("created_by", "created_at")},
    ),
    ExportKind.RATES: Sheet("rate", _same("id", "currency", "day", "per_euro", "imported_by", "imported_at")),
    ExportKind.STATEMENTS: Sheet(
        "statement",
        {
            **_same("id", "mapping_id"), "mapping": "statement_mapping.name",
            **_same("filename", "size", "sha256", "dry_run", "state", "problem", "message", "rows", "seen", "posted",
                    "exceptions", "duplicates", "bad", "undone", "uploaded_by", "uploaded_at", "posted_by",
                    "finished_at", "undone_by", "reason"),
        },
        joins={"statement_mapping": "mapping_id"},
    ),
    ExportKind.STATEMENT_ROWS: Sheet(
        "statement_row",
        {
            **_same("id", "statement_id", "number", "outcome", "field", "code", "message"), "date": "t.dated",
            **_same("currency"), "amount": "t.minor",
            **_same("vendor", "reference", "description", "po_number", "line", "line_id", "invoice_id", "duplicate_of"),
        },
        {"amount": "currency"},
    ),
}  # fmt: skip
