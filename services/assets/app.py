"""Decides which slices make up the assets service."""

from chassis.service import create_service
from services.assets.db import METADATA
from services.assets.events import CONSUMES

app = create_service(
    "assets",
    metadata=METADATA,
    description="To come.",
    consumes=CONSUMES,
)
