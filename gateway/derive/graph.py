"""Decides what the graph is: types, questions and verbs from the contract, and the edges between them."""

from collections.abc import Iterable, Mapping
from typing import Any

import strawberry
from strawberry.schema.config import StrawberryConfig

from gateway.derive.contract import Contract
from gateway.derive.fields import fields_of, new_type
from gateway.derive.kinds import Asked, Edge, Heard, NaturalKey
from gateway.derive.mutations import mutation_fields
from gateway.derive.queries import root_fields
from gateway.derive.scalars import SCALARS
from gateway.derive.stitching import stitch
from gateway.derive.subscriptions import subscription_fields
from gateway.derive.types import Types


def _read_row(row: Any, name: str) -> Any:
    return row.get(name)


def build(
    documents: Mapping[str, Any], edges: Iterable[Edge], keys: Iterable[NaturalKey], heard: Iterable[Heard] = ()
) -> strawberry.Schema:
    """The schema of these documents and edges; ContractError says what doesn't fit."""
    contract = Contract(documents)
    types = Types(contract)
    query, _ = types.claim("Query", "the root", lambda: new_type("Query"))
    mutation, _ = types.claim("Mutation", "the verbs", lambda: new_type("Mutation"))
    fields_of(query).extend(root_fields(contract, types, keys))
    edges = list(edges)
    questions = {edge.operation for edge in edges if isinstance(edge, Asked)}
    fields_of(mutation).extend(mutation_fields(contract, types, questions))
    subscription, _ = types.claim("Subscription", "what is heard", lambda: new_type("Subscription"))
    fields_of(subscription).extend(subscription_fields(contract, types, heard))
    stitch(contract, types, edges)
    return strawberry.Schema(
        query=query,
        mutation=mutation if fields_of(mutation) else None,
        subscription=subscription if fields_of(subscription) else None,
        config=StrawberryConfig(default_resolver=_read_row, scalar_map=SCALARS),
    )
