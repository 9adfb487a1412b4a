"""Decides how a post is read, and what its platform is told to send it again: the same, whichever way it comes in."""

from collections.abc import Mapping

from starlette.responses import Response

from chassis.problems import answer
from services.metrics.event.rules import Reading
from services.metrics.source.platforms import PLATFORMS
from services.metrics.source.platforms.platform import Delivery
from services.metrics.source.store import KnownSource
from services.metrics.webhook.rules import NotBelievedError


def url_of(base: str, token: str, query: str) -> str:
    """The URL as it was pasted at the platform, with what its owner put behind it; whatever a proxy made of it."""
    return f"{base}/v1/webhooks/{token}?{query}" if query else f"{base}/v1/webhooks/{token}"


def kept(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Those that a body can't be read without."""
    return {name: headers[name] for name in ("content-type", "svix-id", "webhook-id") if name in headers}


def read_believed(source: KnownSource, delivery: Delivery) -> Reading:
    """What a post says; NotBelievedError unless its platform signed it."""
    platform = PLATFORMS[source.platform]
    # By all of them, so that the time doesn't tell which one held.
    if True not in [platform.verify(credentials, delivery) for credentials in source.live(delivery.at)]:
        raise NotBelievedError
    return platform.read(delivery, source.labels)


def packed(headers: Mapping[str, str]) -> bool:
    """Whether a body has to be unpacked before anybody can read it."""
    return headers.get("content-encoding", "").strip().lower() not in ("", "identity")


def later(
    status: int, code: str, detail: str, seconds: int = 1, headers: Mapping[str, str] | None = None
) -> Response:  # fmt: skip
    """The status on which a platform sends again."""
    return answer(status, code, detail, headers={"Retry-After": str(seconds), **(headers or {})})
