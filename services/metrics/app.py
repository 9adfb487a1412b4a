"""Decides which slices make up the metrics service."""

from chassis.service import create_service
from services.metrics.change.actions import TELL_CHANGES
from services.metrics.db import METADATA
from services.metrics.event import api as event
from services.metrics.event import before  # noqa: F401  # declares them
from services.metrics.event.actions import KEEP_MONTHS
from services.metrics.events import CONSUMES
from services.metrics.metric import api as metric
from services.metrics.quarantine import api as quarantine
from services.metrics.rollup import models as rollup  # noqa: F401  # declares its tables
from services.metrics.rollup.actions import COUNT_EVENTS
from services.metrics.series import api as series
from services.metrics.source import api as source

app = create_service(
    "metrics",
    source.router,
    event.router,
    event.judging,
    quarantine.router,
    metric.router,
    series.router,
    metadata=METADATA,
    description="What e-mail platforms tell by webhook, and the numbers that follow from it.",
    consumes=CONSUMES,
    jobs=(TELL_CHANGES, COUNT_EVENTS, KEEP_MONTHS),
    resources=(source.sealing, event.flushing, series.computing),
    body_limits={"/v1/webhooks/.*": "webhook_limit"},
)
