"""Decides how Mailchimp's webhooks about a list are read. It tells of no opens and no clicks."""

from collections.abc import Iterable
from datetime import UTC

from services.metrics.event.rules import EventType, ReadEvent, Reading
from services.metrics.source.platforms.fields import Fields
from services.metrics.source.platforms.forms import form_of
from services.metrics.source.platforms.platform import Credentials, Delivery, Platform
from services.metrics.source.platforms.telling import read_whole, tell
from services.metrics.source.rules import TAGS, Labels

TYPES = {"subscribe": EventType.SUBSCRIBED, "unsubscribe": EventType.UNSUBSCRIBED, "cleaned": EventType.BOUNCED}


class Mailchimp(Platform):
    """It signs nothing: whoever knows the URL is believed."""

    needs = ()
    gives = frozenset({TAGS})
    greetings = frozenset({"GET", "HEAD"})

    def verify(self, credentials: Credentials, delivery: Delivery) -> bool:
        return True

    def read(self, delivery: Delivery, labels: Labels) -> Reading:
        return read_whole(delivery.body, lambda: _events(delivery, labels))


def _events(delivery: Delivery, labels: Labels) -> Iterable[ReadEvent]:
    form = Fields(dict(form_of(delivery)))
    word = form.need("type")
    reason, campaign = (
        form.text("data[reason]"),
        form.text("data[campaign_id]", "data[id]" if word == "campaign" else ""),
    )
    occurred_at = form.time("fired_at")
    abused = word in ("unsubscribe", "cleaned") and reason == "abuse"
    yield tell(
        labels, delivery.at, EventType.COMPLAINED if abused else TYPES.get(word, EventType.UNKNOWN),
        # It writes no zone, and means UTC.
        occurred_at if occurred_at.tzinfo else occurred_at.replace(tzinfo=UTC),
        recipient=form.text("data[email]", "data[new_email]"),
        message_id=campaign,
        tags=[campaign] if campaign else [],
        stable=(word, form.text("data[list_id]"), form.text("data[id]"), form.text("data[action]"), reason),
    )  # fmt: skip
