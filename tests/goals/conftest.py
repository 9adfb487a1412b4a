"""Decides how tests of goals make numbers, and see what goals told others."""

import base64
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from standardwebhooks import Webhook

from chassis.fields import new_id
from chassis.testing import Clock, TestStack
from tests.parts import Connect, Workspace

Clicks = Callable[[int, str], Awaitable[None]]
SECRET = "whsec_" + base64.b64encode(b"a secret of at least 24 bytes").decode()


@pytest.fixture
def goals(connect: Connect, workspace: Workspace) -> httpx.AsyncClient:
    """As everywhere, with a token that outlasts a goal's window."""
    client = connect("goals", workspace)
    client.headers["Authorization"] = f"Bearer {workspace.token('admin', lifetime=timedelta(days=400))}"
    return client


@pytest.fixture
async def clicks(metrics: httpx.AsyncClient, clock: Clock) -> Clicks:
    """`await clicks(7, "2026-03-01")`: so many clicks in the campaign on that day."""
    source = {"platform": "standard", "name": "Mail", "credentials": {"signing_secret": SECRET}}
    url = (await metrics.post("/v1/sources", json=source)).json()["webhook_url"]

    async def send(count: int, day: str) -> None:
        events = [
            {"type": "clicked", "recipient": f"p{n}@example.com", "message_id": str(new_id()), "url": "https://x.org",
             "occurred_at": f"{day}T12:00:00Z", "tags": ["spring"]}
            for n in range(count)
        ]  # fmt: skip
        body, message = json.dumps({"events": events}), f"msg_{new_id()}"
        headers = {
            "webhook-id": message, "webhook-timestamp": str(int(clock.now.timestamp())),
            "webhook-signature": Webhook(SECRET).sign(message, clock.now, body), "content-type": "application/json",
        }  # fmt: skip
        answer = await metrics.post(url, content=body, headers=headers)
        assert answer.is_success, answer.text

    return send


async def told_of(stack: TestStack, goal_id: str, kind: str) -> list[dict[str, Any]]:
    """What goals told others of a goal, by kind of event."""
    admin = await asyncpg.connect(stack.admin_dsn)
    rows = await admin.fetch(
        "SELECT data FROM goals.outbox WHERE subject = $1 AND type = $2 ORDER BY occurred_at", goal_id, kind
    )
    await admin.close()
    return [{name: value for name, value in json.loads(row["data"]).items() if name != "goal_id"} for row in rows]
