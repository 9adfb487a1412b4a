"""Decides how the services' resources hang together in the graph. All else in it is derived from `openapi/*.json`.

Many: the rows that name this one. Refs, Ref: the rows, or the row, that this one names. Attached: what hangs on it.
Asked: an answer whose arguments differ per row.
"""

from gateway.derive.kinds import Edge, NaturalKey

EDGES: tuple[Edge, ...] = ()

KEYS: tuple[NaturalKey, ...] = (NaturalKey("Campaign", "list_campaigns", by="slug"),)
