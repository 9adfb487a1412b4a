"""Decides how long which kind of data is kept, and what callers can say of it."""

from typing import Annotated

from pydantic import BaseModel
from pydantic import Field as Described
from sqlalchemy import UniqueConstraint

from chassis.fields import Input
from services.metrics.db import Table
from services.metrics.event.rules import MONTHS_KEPT

QUARANTINE_DAYS, CONSENT_DAYS = 180, 3 * 365
Days = Annotated[int, Described(ge=1, le=3650)]


class Retention(Table, table=True):
    """How long a workspace keeps what it may decide about."""

    __table_args__ = (UniqueConstraint("workspace_id"),)

    quarantine_days: int
    withdrawn_consent_days: int


class RetentionSet(Input):
    """How long to keep each kind of data. What isn't sent is as it is without a word."""

    quarantine_days: Days = Described(
        QUARANTINE_DAYS, description="What couldn't be read, with the addresses in it, since it arrived."
    )
    withdrawn_consent_days: Days = Described(
        CONSENT_DAYS, description="Receipts of a purpose whose consent was withdrawn, since then."
    )


class RetentionRead(BaseModel):
    """How long each kind of data is kept. An address goes when no event, receipt or suppression names it any more."""

    event_months: int = Described(
        MONTHS_KEPT, description="Events, beside the month under way: the same for all. Their numbers stay."
    )
    quarantine_days: int
    withdrawn_consent_days: int
