"""Decides which slices make up the metrics service."""

from chassis.service import create_service
from services.metrics.alert import api as alert
from services.metrics.alert.actions import WATCH
from services.metrics.change.actions import TELL_CHANGES
from services.metrics.consent import api as consent
from services.metrics.db import METADATA
from services.metrics.erasure import api as erasure
from services.metrics.erasure.actions import ERASE_PEOPLE
from services.metrics.event import api as event
from services.metrics.event import before  # noqa: F401  # declares them
from services.metrics.event.actions import KEEP_MONTHS
from services.metrics.events import CONSUMES
from services.metrics.export import api as export
from services.metrics.judging.actions import JUDGE_EVENTS
from services.metrics.metric import api as metric
from services.metrics.observation import api as observation
from services.metrics.quality import api as quality
from services.metrics.quarantine import api as quarantine
from services.metrics.retention import api as retention
from services.metrics.retention.actions import KEEP_NO_LONGER
from services.metrics.rollup import api as rollup
from services.metrics.rollup.actions import COUNT_EVENTS, REBUILD
from services.metrics.series import api as series
from services.metrics.series.turns import computing
from services.metrics.source import api as source
from services.metrics.source.actions import FORGET, knowing_sources
from services.metrics.suppression import api as suppression
from services.metrics.webhook import api as webhook
from services.metrics.webhook.direct import taking

app = create_service(
    "metrics",
    source.router,
    webhook.router,
    event.router,
    event.judging,
    quarantine.router,
    suppression.router,
    consent.router,
    erasure.router,
    retention.router,
    quality.router,
    metric.router,
    series.router,
    observation.router,
    alert.router,
    export.router,
    rollup.router,
    metadata=METADATA,
    description="What e-mail platforms tell by webhook, and the numbers that follow from it.",
    consumes=CONSUMES,
    jobs=(TELL_CHANGES, FORGET, WATCH, REBUILD, JUDGE_EVENTS, COUNT_EVENTS, KEEP_MONTHS, ERASE_PEOPLE, KEEP_NO_LONGER),
    resources=(knowing_sources, event.flushing, taking, computing),
    body_limits={"/v1/webhooks/.*": "webhook_limit"},
)
