"""Decides what of a process can be counted, and what each figure is called. No label is an id or a caller's text."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database

METHODS = {"GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"}
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# Beyond this a subscriber is far behind, and how far exactly isn't worth a long count.
MOST_COUNTED = 10_000


class Measures:
    """One part's figures. Several parts of one process, as in tests, each have their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Histogram(
            "http_request_duration_seconds", "Requests answered, by the route's template.",
            ("method", "route", "status"), buckets=SECONDS, registry=registry,
        )  # fmt: skip
        # To find a child by its labels takes as long as to count in it. They are as few as routes and statuses.
        self._answered: dict[tuple[str, str, int], Histogram] = {}
        self.upstream_calls = Histogram(
            "mops_upstream_call_duration_seconds", "Calls of other parts.", ("service",), buckets=SECONDS,
            registry=registry,
        )  # fmt: skip
        self.upstream_failures = Counter(
            "mops_upstream_failures", "Calls of other parts that got no answer.", ("service", "code"), registry=registry
        )
        self.delivered = Counter(
            "mops_outbox_delivered", "Events that a subscriber took.", ("subscriber",), registry=registry
        )
        self.undelivered = Counter(
            "mops_outbox_failures", "Attempts to deliver that a subscriber didn't answer.", ("subscriber",),
            registry=registry,
        )  # fmt: skip
        self.received = Counter(
            "mops_inbox_events", "Events that came in: taken, known (taken before) or refused.", ("source", "outcome"),
            registry=registry,
        )  # fmt: skip
        self.job_runs = Histogram(
            "mops_job_duration_seconds", "Runs of jobs on this process: done, failed or given_up.", ("job", "outcome"),
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.ingested = Counter(
            "mops_events_ingested", "E-mail events made durable, repeated ones too.", ("platform",), registry=registry
        )
        self.webhook_posts = Histogram(
            "mops_webhook_post_duration_seconds", "Posts of events to endpoints: delivered or failed.", ("outcome",),
            buckets=SECONDS, registry=registry,
        )  # fmt: skip

        self.live_sent = Counter("mops_live_sent", "Answers to subscriptions that were sent.", registry=registry)
        self.live_closed = Counter(
            "mops_live_closed", "Sockets and streams that ended, and why: LEFT is by the caller.", ("why",),
            registry=registry,
        )  # fmt: skip
        self.live_open = Gauge("mops_live_subscriptions", "Subscriptions that are open.", registry=registry)

        def gauge(name: str, words: str, *labels: str) -> Gauge:
            return Gauge(name, words, labels, registry=registry)

        self.waiting = gauge(
            "mops_outbox_waiting", f"Events that wait for a subscriber, counted to {MOST_COUNTED}.", "subscriber"
        )
        self.oldest = gauge("mops_outbox_oldest_seconds", "How long the first of them has waited.", "subscriber")
        self.refused = gauge("mops_outbox_failing", "Waiting events that were refused or not answered.", "subscriber")
        self.jobs = gauge("mops_jobs", "Jobs that wait, run or were given up, all replicas together.", "job", "state")
        self.job_success = gauge(
            "mops_job_last_success_timestamp_seconds", "When a periodic job last went well, on any replica.", "job"
        )
        self.database_up = gauge("mops_database_up", "Whether the database answered when these figures were asked for.")
        self.pool_size = gauge("mops_database_pool_size", "Most connections that this process holds.")
        self.pool_in_use = gauge("mops_database_pool_in_use", "Connections of the pool that are taken now.")

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        method = method if method in METHODS else "other"
        child = self._answered.get((method, route, status))
        if child is None:
            child = self._answered[method, route, status] = self.requests.labels(method, route, str(status))
        child.observe(seconds)

    async def look(self, session: AsyncSession, subscribers: list[str], now: Any) -> None:
        """Takes from the database what no process knows alone (worker transaction)."""
        found = await session.execute(_OUTBOX, {"subscribers": subscribers, "most": MOST_COUNTED, "now": now})
        for row in found.all():
            self.waiting.labels(row.subscriber).set(row.waiting)
            self.refused.labels(row.subscriber).set(row.failing)
            self.oldest.labels(row.subscriber).set(row.oldest or 0)
        self.jobs.clear()
        for row in (await session.execute(_JOBS)).all():
            self.jobs.labels(row.name, row.state).set(row.number)
        for row in (await session.execute(_SUCCESSES)).all():
            self.job_success.labels(row.name).set(row.succeeded_at.timestamp())

    def exposition(self, database: Database) -> bytes:
        """Everything, in Prometheus's text format."""
        pool: Any = database.engine.pool
        self.pool_size.set(pool.size())
        self.pool_in_use.set(pool.checkedout())
        return generate_latest(self.registry)


_JOBS = text("SELECT name, state, count(*) AS number FROM work WHERE state <> 'done' GROUP BY name, state")
_SUCCESSES = text("SELECT name, succeeded_at FROM work WHERE workspace_id IS NULL AND succeeded_at IS NOT NULL")
_OUTBOX = text("""
    SELECT s.subscriber, w.waiting, w.failing,
           (SELECT extract(epoch FROM :now - o.occurred_at) FROM delivery d
            JOIN outbox o ON (o.workspace_id, o.id) = (d.workspace_id, d.outbox_id)
            WHERE d.subscriber = s.subscriber ORDER BY d.position LIMIT 1) AS oldest
    FROM unnest(cast(:subscribers AS text[])) AS s (subscriber)
    CROSS JOIN LATERAL (
        SELECT count(*) AS waiting, count(*) FILTER (WHERE attempts > 0) AS failing
        FROM (SELECT attempts FROM delivery d WHERE d.subscriber = s.subscriber ORDER BY position LIMIT :most) AS first
    ) AS w
""")
