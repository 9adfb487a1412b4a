"""Decides which slices make up the metrics service."""

from chassis.service import create_service
from services.metrics.db import METADATA
from services.metrics.events import CONSUMES

app = create_service(
    "metrics",
    metadata=METADATA,
    description="To come.",
    consumes=CONSUMES,
)
