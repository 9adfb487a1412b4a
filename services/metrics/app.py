"""Decides which slices make up the metrics service."""

from chassis.service import create_service
from services.metrics.change.actions import TELL_CHANGES
from services.metrics.db import METADATA
from services.metrics.event import api as event
from services.metrics.events import CONSUMES
from services.metrics.metric import api as metric
from services.metrics.quarantine import api as quarantine
from services.metrics.series import api as series
from services.metrics.source import api as source
from services.metrics.source.actions import FORGET, knowing_sources
from services.metrics.webhook import api as webhook

app = create_service(
    "metrics",
    source.router,
    webhook.router,
    event.router,
    quarantine.router,
    metric.router,
    series.router,
    metadata=METADATA,
    description="What e-mail platforms tell by webhook, and the numbers that follow from it.",
    consumes=CONSUMES,
    jobs=(TELL_CHANGES, FORGET),
    resources=(knowing_sources, event.flushing, series.computing),
    body_limits={"/v1/webhooks/.*": "webhook_limit"},
)
