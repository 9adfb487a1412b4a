"""Decides what the gateway is made of: identity and the graph."""

from chassis.service import create_service
from gateway import graphql
from gateway.db import METADATA
from gateway.events import CONSUMES
from gateway.identity import api as identity

app = create_service(
    "gateway",
    identity.open_router,
    identity.router,
    graphql.router,
    metadata=METADATA,
    description="Tokens, and one graph over goals, assets, budget and metrics.",
    consumes=CONSUMES,
    resources=(identity.signing, graphql.graph),
)
