"""Decides how it is counted what comes to a source: in memory, told to the database now and then, never per request."""

import logging
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from chassis.db import Database
from services.metrics.source import store
from services.metrics.source.store import Count

log = logging.getLogger("mops.intake")

TELL_SECONDS = 2.0


class Intake:
    """What came since it was last told. It holds a row for each source and hour that is known: a forger adds to a
    number, never to their number."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: dict[tuple[UUID, UUID, datetime], Count] = {}

    def note(self, workspace_id: UUID, source_id: UUID, at: datetime, **more: int) -> None:
        """Adds to a source's counts of the hour: `received`, `stored`, `unmapped`, `quarantined`, `refused`."""
        place = (workspace_id, source_id, at.replace(minute=0, second=0, microsecond=0))
        count = self._counts.get(place)
        if count is None:
            count = self._counts[place] = Count()
        for name, number in more.items():
            setattr(count, name, getattr(count, name) + number)

    async def tell(self) -> None:
        """Adds what was counted to what is kept, one transaction for each workspace; what can't be kept now waits."""
        counts, self._counts = self._counts, {}
        spaces: dict[UUID, dict[tuple[UUID, datetime], Count]] = {}
        for (workspace_id, source_id, hour), count in counts.items():
            spaces.setdefault(workspace_id, {})[source_id, hour] = count
        for workspace_id, found in spaces.items():
            try:
                async with self._database.tenant(workspace_id) as session:
                    await store.add_counts(session, found)
            except (SQLAlchemyError, OSError) as problem:
                log.warning("intake_untold", extra={"kind": type(problem).__name__})
                self._take_back(workspace_id, found)

    def _take_back(self, workspace_id: UUID, found: Mapping[tuple[UUID, datetime], Count]) -> None:
        for (source_id, hour), count in found.items():
            self.note(workspace_id, source_id, hour, **vars(count))
