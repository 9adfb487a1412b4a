"""Decides what callers see of what can't be read."""

from fastapi import APIRouter

from chassis.answers import listed
from chassis.db import Reading
from chassis.identity import scope
from chassis.listing import Listing, Parent, listing
from chassis.paging import Groups, Page
from services.metrics.quarantine.models import Quarantined, QuarantinedRead

router = APIRouter(tags=["events"])


@router.get("/v1/quarantine", dependencies=[scope("metrics:people")])
async def list_quarantine(
    reading: Reading,
    asked: Listing[QuarantinedRead] = listing(
        Quarantined,
        QuarantinedRead,
        sort=("received_at",),
        by=("received_at",),
        parents={"source_id": Parent(Quarantined.source_id)},
    ),
) -> Page[QuarantinedRead] | Groups[QuarantinedRead]:
    """What platforms sent under a valid signature but can't be read, with the reason. It holds what they sent, people's
    addresses too, so it needs the scope `metrics:people`."""
    return await listed(reading, asked)
