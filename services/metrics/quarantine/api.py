"""Decides what callers see of what can't be read."""

from fastapi import APIRouter

from chassis.db import Session
from chassis.identity import scope
from chassis.paging import Ids, Listing, Page, listing, page
from services.metrics.quarantine.models import Quarantined, QuarantinedRead
from services.metrics.quarantine.store import select_quarantined

router = APIRouter(tags=["events"])


@router.get("/v1/quarantine", dependencies=[scope("metrics:people")])
async def list_quarantine(session: Session, source_id: Ids = [], asked: Listing = listing()) -> Page[QuarantinedRead]:
    """What platforms sent under a valid signature but can't be read, with the reason. It holds what they sent, people's
    addresses too, so it needs the scope `metrics:people`."""
    rows, next_cursor = await page(session, Quarantined, select_quarantined(source_id), asked)
    return Page(items=[QuarantinedRead.model_validate(row) for row in rows], next_cursor=next_cursor)
