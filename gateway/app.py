"""Decides what the gateway is made of: identity, the graph, and what it tells of what happens."""

from chassis.service import create_service
from gateway import graphql
from gateway.cors import Cors
from gateway.db import METADATA
from gateway.delivery import actions as delivery_actions
from gateway.delivery import api as delivery
from gateway.endpoint import api as endpoint
from gateway.happening import actions as happening_actions
from gateway.happening import api as happening
from gateway.identity.client import api as client
from gateway.identity.key import actions as key_actions
from gateway.identity.key import api as key
from gateway.identity.member import api as member
from gateway.identity.token import api as token
from gateway.identity.workspace import api as workspace

app = create_service(
    "gateway",
    # Routes are tried in turn, and this is what is asked for most.
    graphql.router,
    token.router,
    key.router,
    workspace.router,
    workspace.operator_router,
    member.router,
    client.router,
    happening.router,
    endpoint.router,
    delivery.router,
    metadata=METADATA,
    description="Tokens, who has access to what, and one graph over goals, assets, budget and metrics.",
    keeps=delivery_actions.hear,
    jobs=(key_actions.TEND, happening_actions.FORGET),
    resources=(key.signing, delivery.telling, graphql.graph),
)
app.add_middleware(Cors)
