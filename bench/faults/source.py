"""Decides how a platform's account posts: what an event is called there, and how a post is signed."""

import base64
import hashlib
import hmac
import json
import random
import time
from datetime import datetime
from typing import Any

from bench.faults.known import BERLIN, Happening
from tests.stack.sendgrid import Account

# Both names of a type: SendGrid's and ours.
SENDGRID = {"open": "opened", "click": "clicked", "delivered": "delivered", "processed": "queued", "bounce": "bounced"}


class Source:
    """A platform's account: where it posts to, and how it signs."""

    def __init__(self, name: str, platform: str) -> None:
        self.name = name
        self.platform = platform
        self.url = ""
        self.account = Account()
        self.secret = hashlib.sha256(name.encode()).digest()

    @property
    def credentials(self) -> dict[str, str]:
        if self.platform == "sendgrid":
            return {"public_key": self.account.public_key}
        return {"signing_secret": "whsec_" + base64.b64encode(self.secret).decode()}

    def headers(self, body: bytes) -> dict[str, str]:
        if self.platform == "sendgrid":
            return self.account.signed(body)
        moment = str(int(time.time()))
        signed = hmac.new(self.secret, b".".join((b"post", moment.encode(), body)), hashlib.sha256).digest()
        signature = f"v1,{base64.b64encode(signed).decode()}"
        return {"webhook-id": "post", "webhook-timestamp": moment, "webhook-signature": signature}

    def body(self, rng: random.Random, events: list[Happening]) -> bytes:
        """As the platform words it; ids are new ones whenever it sends."""
        return json.dumps([self._worded(rng, event) for event in events]).encode()

    def _worded(self, rng: random.Random, event: Happening) -> dict[str, Any]:
        platforms_id = f"{rng.getrandbits(64):x}"
        if self.platform == "sendgrid":
            return {
                "event": next(theirs for theirs, ours in SENDGRID.items() if ours == event.type),
                "email": event.recipient, "timestamp": event.moment, "sg_message_id": event.message,
                "sg_event_id": platforms_id, "category": [event.tag], "url": event.url or None,
            }  # fmt: skip
        return {
            "id": platforms_id, "type": event.type, "recipient": event.recipient, "message_id": event.message,
            "occurred_at": datetime.fromtimestamp(event.moment, BERLIN).isoformat(), "tags": [event.tag],
            "url": event.url or None,
        }  # fmt: skip
