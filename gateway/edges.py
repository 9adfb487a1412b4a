"""Decides how the services' resources hang together in the graph. All else in it is derived from `openapi/*.json`.

Many: the rows that name this one. Refs, Ref: the rows, or the row, that this one names. Attached: what hangs on it.
Asked: an answer whose arguments differ per row.
"""

from gateway.derive.kinds import Attached, Edge, Many, NaturalKey, Ref, Refs

EDGES: tuple[Edge, ...] = (
    Many("Campaign.goals", "list_goals", by="campaign_id"),
    Refs("Goal.campaigns", "list_campaigns", ids="campaign_ids"),
    Many("Objective.goals", "list_goals", by="objective_id"),
    Ref("Goal.objective", "list_objectives", id="objective_id"),
    Attached("Goal.smart", "list_smart", key="goal_id"),
    Attached("Goal.progress", "list_progress", key="goal_id"),
)

KEYS: tuple[NaturalKey, ...] = (NaturalKey("Campaign", "list_campaigns", by="slug"),)
