"""Decides what mail a team's platforms tell of, and how that goes over the wire: signed, in posts of any size."""

import base64
import hashlib
import hmac
import json
import random
import time
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CAMPAIGNS = 50
KINDS = ["queued"] * 33 + ["delivered"] * 32 + ["opened"] * 27 + ["clicked"] * 6 + ["bounced", "unsubscribed"]


class Mail:
    """Events as a team's platforms tell them over twelve months: to half as many people as there are thousands of
    events, of fifty campaigns, in the order of time but for what comes late."""

    def __init__(self, rows: int, seed: int) -> None:
        self.rng = random.Random(seed)
        self.people = max(1000, min(rows // 10, 400_000))
        self.span = timedelta(days=330)
        self.rows, self.made = rows, 0
        self.end = datetime.now(UTC) - timedelta(days=1)
        self.seed = seed

    def event(self) -> dict[str, Any]:
        rng = self.rng
        share = self.made / self.rows
        late = timedelta(seconds=rng.expovariate(1 / 7200)) if rng.random() < 0.1 else timedelta(0)
        at = self.end - self.span * (1 - share) - late
        self.made += 1
        person = rng.randrange(self.people)
        kind = rng.choice(KINDS)
        campaign = (int(share * 12) * 7 + rng.randrange(9)) % CAMPAIGNS
        told: dict[str, Any] = {
            "type": kind, "recipient": f"person{person}@example{person % 13}.com",
            "message_id": f"{self.seed}.{campaign}.{int(share * 50)}.{person}@mail.example.com",
            "occurred_at": at.isoformat(timespec="microseconds"), "tags": [f"campaign-{campaign}"],
            "id": f"evt_{self.made:020}", "user_agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)",
        }  # fmt: skip
        if kind == "clicked":
            told["url"] = f"https://www.example.com/offer/{campaign}"
        if kind == "opened" and person % 3 == 0:
            told["machine"] = True
        return told

    def bodies(self, many: int, size: int) -> list[bytes]:
        return [
            json.dumps([self.event() for _ in range(size)] if size > 1 else self.event()).encode() for _ in range(many)
        ]


def wire(path: str, body: bytes, secret: str = SECRET) -> bytes:
    """A signed POST as it goes over the wire."""
    name, now = f"msg_{token_hex(10)}", str(int(time.time()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.new(key, f"{name}.{now}.".encode() + body, hashlib.sha256).digest()).decode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"webhook-id: {name}\r\nwebhook-timestamp: {now}\r\nwebhook-signature: v1,{signature}\r\n\r\n"
    )
    return head.encode() + body
