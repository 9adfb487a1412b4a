"""Decides what administrators see of jobs: what ran, what failed and why, what waits; and how one runs again."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import MetaData, text
from sqlalchemy.orm import registry

from chassis import tables
from chassis.answers import page
from chassis.db import Now, Reading, Session, enum_column, workspace_of
from chassis.errors import Conflict, NotFound
from chassis.fields import Readable, UtcDatetime
from chassis.idempotency import IdempotentRoute
from chassis.identity import scope
from chassis.jobs import JobState
from chassis.listing import Listing, listing
from chassis.paging import Page


class Work:
    """A row of the queue."""

    id: UUID
    workspace_id: UUID | None
    state: JobState
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def periodic(self) -> bool:
        return self.workspace_id is None

    @property
    def seconds(self) -> float | None:
        ended = self.finished_at if self.started_at else None
        return (ended - self.started_at).total_seconds() if ended and self.started_at else None


# Without a schema: it is every part's own, found by the login role's search path.
WORK = tables.work(MetaData(), enum_column(JobState, "state").type)
registry().map_imperatively(Work, WORK)


class JobRead(Readable):
    """Work that nobody waits for: a periodic job, which has one entry for ever, or one that a change has put off."""

    id: UUID
    name: str = Field(examples=["sweep"])
    periodic: bool = Field(description="Whether it comes round by itself, for all workspaces together.")
    subject: UUID | None = Field(description="The id of what it is about; null for periodic ones.")
    state: JobState
    attempts: int = Field(description="Runs since it last went well, or since it was put off.")
    created_at: UtcDatetime
    changed_at: UtcDatetime = Field(description="When it last began, ended, or was asked for again.")
    due_at: UtcDatetime | None = Field(
        description="When it runs next; while it runs, when another process would take it over; null: never again."
    )
    started_at: UtcDatetime | None = Field(description="When the last run began.")
    finished_at: UtcDatetime | None = Field(description="When it ended; null while it runs.")
    seconds: float | None = Field(description="How long it took.")
    last_error: str | None = Field(description="Why the last run failed; null when it didn't.")


def jobs_router(part: str) -> APIRouter:
    """The jobs of one part, for its administrators."""
    router = APIRouter(tags=["jobs"], route_class=IdempotentRoute)

    async def list_jobs(
        reading: Reading,
        asked: Listing[JobRead] = listing(
            Work, JobRead, sort=("name", "created_at", "changed_at"), by=("name", "state", "created_at", "changed_at")
        ),
    ) -> Page[JobRead]:
        """This workspace's jobs and the periodic ones. `-changed_at` shows first what happened last. Jobs that are done
        are kept for a week, and those given up for 90 days."""
        return await page(reading, asked)

    async def retry_job(id: UUID, session: Session, now: Now) -> JobRead:
        """Runs a job again that was given up. Conflict for any other: a periodic one comes round by itself, and one
        that waits will run."""
        found = await session.get(Work, id)
        if found is None:
            raise NotFound(f"no job {id}")
        again = await session.scalar(
            text("""UPDATE work SET state = 'waiting', attempts = 0, due_at = :now, changed_at = :now
                    WHERE id = :id AND workspace_id = :workspace AND state = 'failed' RETURNING 1"""),
            {"id": id, "now": now, "workspace": workspace_of(session)},
        )
        if not again:
            raise Conflict(f"only a job that was given up runs again; this one is {found.state}", code="not_given_up")
        session.info["recorded"] = True
        await session.refresh(found)
        return JobRead.model_validate(found)

    internal = {"x-graph": False}
    router.add_api_route(
        "/v1/jobs", list_jobs, name=f"list_{part}_jobs", dependencies=[scope("jobs:read")], openapi_extra=internal
    )
    router.add_api_route(
        "/v1/jobs/{id}/retry", retry_job, name=f"retry_{part}_job", methods=["POST"], openapi_extra=internal,
        dependencies=[scope("jobs:write")],
    )  # fmt: skip
    return router
