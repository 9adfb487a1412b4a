"""Decides how the services' resources hang together in the graph. All else in it is derived from `openapi/*.json`.

Many: the rows that name this one. Refs, Ref: the rows, or the row, that this one names. Attached: what hangs on it.
Asked: an answer whose arguments differ per row. Heard: what a subscription tells.
"""

from uuid import UUID

from gateway.derive.kinds import Asked, Attached, Edge, Heard, Many, NaturalKey, Ref, Refs

EDGES: tuple[Edge, ...] = (
    # A campaign is the hub: goals are measured over it, money is set aside for it, assets and events belong to it.
    Many("Campaign.goals", "list_goals", by="campaign_id"),
    Refs("Goal.campaigns", "list_campaigns", ids="campaign_ids"),
    Many("Campaign.lines", "list_lines", by="campaign_id"),
    Ref("Line.campaign", "list_campaigns", id="campaign_id"),
    Many("Campaign.assets", "list_assets", by="campaign_id"),
    Refs("Asset.campaigns", "list_campaigns", ids="campaign_ids"),
    Many("Asset.versions", "list_asset_versions", by="asset_id"),
    Many("Asset.steps", "list_asset_steps", by="asset_id"),
    Many("Campaign.events", "list_events", by="campaign_id"),
    Ref("Event.campaign", "list_campaigns", id="campaign_id"),
    # A goal serves an objective, and is judged and followed.
    Many("Objective.goals", "list_goals", by="objective_id"),
    Ref("Goal.objective", "list_objectives", id="objective_id"),
    Attached("Goal.smart", "list_smart", key="goal_id"),
    Attached("Goal.progress", "list_progress", key="goal_id"),
    Many("Goal.evaluations", "list_evaluations", by="goal_id"),
    Many("Goal.revisions", "list_revisions", by="goal_id"),
    Many("Goal.reviews", "list_reviews", by="goal_id"),
    Many("Goal.overrides", "list_overrides", by="goal_id"),
    Ref("Evaluation.goal", "list_goals", id="goal_id"),
    Ref("Revision.goal", "list_goals", id="goal_id"),
    Ref("Review.goal", "list_goals", id="goal_id"),
    # Lines are a tree: where each stands, and where all of a campaign's do.
    Ref("Line.parent", "list_lines", id="parent_id"),
    Attached("Line.position", "list_line_positions", key="line_id", value="position"),
    Attached("Line.forecast", "list_line_forecasts", key="line_id", value="forecast"),
    Attached("Campaign.budget", "list_campaign_positions", key="campaign_id", value="position", type="CampaignBudget"),
    Many("CampaignBudget.lines", "list_lines", by="campaign_id", key="campaign_id"),
    # Whose money is asked for, who decided, what was ordered and invoiced, and how it moved.
    Many("Line.requests", "list_spend_requests", by="line_id"),
    Many("Campaign.requests", "list_spend_requests", by="campaign_id"),
    Ref("SpendRequest.line", "list_lines", id="line_id"),
    Ref("SpendRequest.campaign", "list_campaigns", id="campaign_id"),
    Refs("SpendRequest.assets", "list_assets", ids="asset_ids"),
    Many("SpendRequest.decisions", "list_decisions", by="request_id"),
    Many("SpendRequest.invoices", "list_invoices", by="request_id"),
    Ref("Decision.request", "list_spend_requests", id="request_id"),
    Many("Line.invoices", "list_invoices", by="line_id"),
    Ref("Invoice.line", "list_lines", id="line_id"),
    Ref("Invoice.request", "list_spend_requests", id="request_id"),
    Many("Line.entries", "list_entries", by="line_id"),
    Ref("Entry.line", "list_lines", id="line_id"),
    Many("Line.scenarios", "list_scenarios", by="line_id"),
    Ref("Scenario.line", "list_lines", id="line_id"),
    Ref("Scenario.replacedBy", "list_scenarios", id="before_id"),
    Many("Scenario.replaced", "list_scenarios", by="before_id"),
    Many("Scenario.lines", "list_scenario_lines", by="scenario_id"),
    Ref("ScenarioLine.scenario", "list_scenarios", id="scenario_id"),
    Ref("ScenarioLine.line", "list_lines", id="line_id"),
    Ref("Transfer.source", "list_lines", id="from_line_id"),
    Ref("Transfer.target", "list_lines", id="to_line_id"),
    # Other systems' files: how they are read, and what became of each row.
    Many("StatementMapping.statements", "list_statements", by="mapping_id"),
    Ref("StatementMapping.default_line", "list_lines", id="line_id"),
    Ref("Statement.mapping", "list_statement_mappings", id="mapping_id"),
    Many("Statement.results", "list_statement_rows", by="statement_id"),
    Ref("StatementRow.statement", "list_statements", id="statement_id"),
    Ref("StatementRow.booked_on", "list_lines", id="line_id"),
    Ref("StatementRow.invoice", "list_invoices", id="invoice_id"),
    # Software is bought by contracts from vendors, and used on seats.
    Many("Vendor.contracts", "list_contracts", by="vendor_id"),
    Many("Vendor.obligations", "list_obligations", by="vendor_id"),
    Ref("Contract.vendor", "list_vendors", id="vendor_id"),
    Ref("Contract.line", "list_lines", id="line_id"),
    Ref("Contract.campaign", "list_campaigns", id="campaign_id"),
    Many("Line.contracts", "list_contracts", by="line_id"),
    Many("Campaign.contracts", "list_contracts", by="campaign_id"),
    Many("Contract.seats", "list_seats", by="contract_id"),
    Many("Contract.obligations", "list_obligations", by="contract_id"),
    Many("Contract.decisions", "list_contract_decisions", by="contract_id"),
    Attached("Contract.waste", "list_seat_waste", key="contract_id"),
    Ref("Seat.contract", "list_contracts", id="contract_id"),
    Ref("ContractDecision.contract", "list_contracts", id="contract_id"),
    Ref("Obligation.vendor", "list_vendors", id="vendor_id"),
    Ref("Obligation.contract", "list_contracts", id="contract_id"),
    Many("Obligation.fulfilments", "list_fulfilments", by="obligation_id"),
    Ref("Fulfilment.obligation", "list_obligations", id="obligation_id"),
    Refs("Overlap.contracts", "list_contracts", ids="contract_ids"),
    # Events come from sources; what they add up to is asked for by campaign, by goal, or for the whole workspace.
    Ref("Event.source", "list_sources", id="source_id"),
    Many("Source.events", "list_events", by="source_id"),
    Attached("Source.health", "list_source_health", key="source_id"),
    Attached("Source.quality", "list_source_quality", key="source_id"),
    Many("Source.quarantined", "list_quarantine", by="source_id"),
    Many("Source.suppressions", "list_suppressions", by="source_id"),
    Many("Campaign.observations", "list_observations", by="campaign_id"),
    Ref("Observation.campaign", "list_campaigns", id="campaign_id"),
    Ref("Observation.definition", "list_metrics", id="metric", by="key", match="key"),
    Ref("Alert.definition", "list_metrics", id="metric", by="key", match="key"),
    Refs("Alert.campaigns", "list_campaigns", ids="campaign_ids"),
    Many("Alert.findings", "list_findings", by="alert_id"),
    Ref("Finding.alert", "list_alerts", id="alert_id"),
    # Endpoints are told what happens.
    Many("Endpoint.deliveries", "list_deliveries", by="endpoint_id"),
    Ref("Delivery.endpoint", "list_endpoints", id="endpoint_id"),
    Ref("Delivery.happening", "list_happenings", id="happening_id"),
    Many("Happening.deliveries", "list_deliveries", by="happening_id"),
    # What happened, and how that stands now.
    Ref("Happening.campaign", "list_campaigns", id="data.campaign_id"),
    Refs("Happening.campaigns", "list_campaigns", ids="data.campaign_ids"),
    Ref("Happening.goal", "list_goals", id="data.goal_id"),
    Ref("Happening.review", "list_reviews", id="data.review_id"),
    Ref("Happening.asset", "list_assets", id="data.asset_id"),
    Ref("Happening.line", "list_lines", id="data.line_id"),
    Ref("Happening.request", "list_spend_requests", id="data.request_id"),
    Ref("Happening.invoice", "list_invoices", id="data.invoice_id"),
    Ref("Happening.transfer", "list_transfers", id="data.transfer_id"),
    Ref("Happening.scenario", "list_scenarios", id="data.scenario_id"),
    Ref("Happening.was", "list_scenarios", id="data.was_id"),
    Ref("Happening.statement", "list_statements", id="data.statement_id"),
    Ref("Happening.contract", "list_contracts", id="data.contract_id"),
    Ref("Happening.obligation", "list_obligations", id="data.obligation_id"),
    Ref("Happening.vendor", "list_vendors", id="data.vendor_id"),
    Ref("Happening.alert", "list_alerts", id="data.alert_id"),
    Ref("Happening.finding", "list_findings", id="data.finding_id"),
    Ref("Happening.endpoint", "list_endpoints", id="data.endpoint_id"),
    Asked("Campaign.series", "query_series", bind={"campaign_ids": "id"}),
    Asked("Goal.series", "query_series", bind={"campaign_ids": "campaign_ids", "metric": "metric.key"}),
    Asked("Query.series", "query_series"),
)

KEYS: tuple[NaturalKey, ...] = (NaturalKey("Campaign", "list_campaigns", by="slug"),)

HEARD: tuple[Heard, ...] = (
    Heard(
        "Subscription.happenings", "list_happenings",
        "What happens in the workspace, as it happens, in the parts that the token may read. Each comes with how things"
        " stand now, such as `happenings(types: [\"goals.campaign.*\"]) { cursor type campaign { id name state } }`; an"
        " edge that the event says nothing of is null. After a break, go on with `after` the last `cursor` that came:"
        " nothing is missed and nothing comes twice. `CURSOR_TOO_OLD` says that what followed is no longer kept.",
        (
            ("types", list[str], "Only these of `happeningTypes`; `goals.*` and `goals.campaign.*` are all of them that"
             " begin so. All by default."),
            ("subject", UUID, "Only what happens to this one, such as a campaign's id."),
            ("after", str, "The `cursor` of the last one that came, here or in the list: what happened since comes"
             " first, then what happens. By default only what happens from now on."),
        ),
    ),
)  # fmt: skip
