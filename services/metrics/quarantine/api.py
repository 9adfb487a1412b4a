"""Decides what callers see of what can't be read, and that it can be read again."""

from fastapi import APIRouter, Request

from chassis.answers import listed
from chassis.db import Now, Reading, Session
from chassis.idempotency import IdempotentRoute
from chassis.identity import scope
from chassis.listing import Listing, Parent, listing
from chassis.paging import Groups, Page
from chassis.settings import Settings
from services.metrics.quarantine.actions import replay_waiting
from services.metrics.quarantine.models import Quarantined, QuarantinedRead, ReplayAsked, Replayed, Replays

router = APIRouter(route_class=IdempotentRoute, tags=["events"])


@router.get("/v1/quarantine", dependencies=[scope("metrics:people")])
async def list_quarantine(
    reading: Reading,
    asked: Listing[QuarantinedRead] = listing(
        Quarantined,
        QuarantinedRead,
        sort=("received_at",),
        by=("received_at", "state"),
        parents={"source_id": Parent(Quarantined.source_id)},
    ),
) -> Page[QuarantinedRead] | Groups[QuarantinedRead]:
    """What platforms sent under a valid signature but can't be read, with the reason. It holds what they sent, people's
    addresses too, so it needs the scope `metrics:people`."""
    return await listed(reading, asked)


@router.post(
    "/v1/quarantine/replay", dependencies=[scope("metrics:write"), scope("metrics:people")],
    openapi_extra={"x-graph": False},
)  # fmt: skip
async def replay_quarantine(asked: ReplayAsked, request: Request, session: Session, now: Now) -> Replays:
    """Reads parts again, once their reader or the source's settings are mended: up to 200 at once, or 16 MB of them.
    Those whose every event can be read are stored as if they came now, each event once; the others stay with the reason
    of today. All of it commits together."""
    settings: Settings = request.app.state.settings
    found, more = await replay_waiting(session, settings.secret_key, asked.ids, asked.source_id, now)
    items = [Replayed(id=each, **vars(replay)) for each, replay in found.items()]
    return Replays(items=items, more=more)
