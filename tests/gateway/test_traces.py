"""What the graph tells of itself: one trace from the caller to the SQL, and whom it couldn't reach."""

from collections import deque

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

from tests.gateway.conftest import Ask, Graph
from tests.parts import Connect, Workspace

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4737", "00f067aa0ba902b7"


def line_of(spans: list[ReadableSpan], last: ReadableSpan) -> list[str]:
    """The names from the root to a span."""
    by_id = {span.context.span_id: span for span in spans}
    names = [last.name]
    while last.parent and last.parent.span_id in by_id:
        last = by_id[last.parent.span_id]
        names.append(last.name)
    return names[::-1]


async def test_one_trace_goes_from_the_caller_over_the_gateway_and_a_service_to_the_sql(
    graph_of: Ask, workspace: Workspace, spans: deque[ReadableSpan]
) -> None:
    asked = await graph_of(workspace)
    asked.http.headers["traceparent"] = f"00-{TRACE}-{CALLER}-01"
    await asked("{ campaigns { nodes { id } } }")
    own = [span for span in spans if trace.format_trace_id(span.context.trace_id) == TRACE]
    select = next(span for span in own if "FROM goals.campaign" in str((span.attributes or {}).get("db.query.text")))
    assert line_of(own, select) == ["POST /graphql", "GET goals/v1/campaigns", "GET /v1/campaigns", "SELECT"]
    root = next(span for span in own if span.name == "POST /graphql")
    assert root.parent
    assert trace.format_span_id(root.parent.span_id) == CALLER
    assert (root.attributes or {})["http.response.status_code"] == 200


async def test_a_service_that_is_away_is_counted(graph: Graph, connect: Connect) -> None:
    with graph.dead("budget"):
        await graph.ask("{ lines { nodes { id } } }")
    text = (await connect("gateway").get("/metrics")).text
    failures = [line for line in text.splitlines() if line.startswith("mops_upstream_failures_total")]
    assert any('service="budget"' in line and 'code="UPSTREAM_UNAVAILABLE"' in line for line in failures)
    assert 'mops_upstream_call_duration_seconds_count{service="budget"}' in text
