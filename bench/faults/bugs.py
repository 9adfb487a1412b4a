"""Decides which bugs are seeded, to see that the run can fail: each is a promise broken in one place."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID


def _replace(owner: Any, name: str, by: Any) -> None:
    setattr(owner, name, by)


@dataclass(frozen=True)
class Bug:
    """What is broken, how, and where a process has to die for it to show (part, point); nowhere if load is enough."""

    words: str
    install: Callable[[], None]
    part: str | None = None
    shows_at: tuple[tuple[str, str], ...] = ()


def _answer_before_commit() -> None:
    from fastapi import Depends
    from sqlalchemy.ext.asyncio import AsyncSession

    from chassis import db

    _replace(db, "Session", Annotated[AsyncSession, Depends(db._session)])


def _key_apart() -> None:
    from sqlalchemy import text

    from chassis import idempotency

    later: set[Any] = set()

    async def keep(self: idempotency.Claim, response: Any) -> None:
        taken = text(f"DELETE FROM idempotency WHERE {idempotency._KEY} RETURNING fingerprint")
        fingerprint = await self.session.scalar(taken, self.row)
        engine, row = self.session.bind, self.row
        answer = self.sealer.seal(bytes(response.body), self.place)

        async def store() -> None:
            from sqlalchemy.ext.asyncio import AsyncSession

            async with AsyncSession(engine) as session, session.begin():
                await session.execute(
                    text("SELECT set_config('mops.workspace', :id, true)"), {"id": str(row["workspace"])}
                )
                await session.execute(
                    text("""INSERT INTO idempotency (workspace_id, subject, operation, key, fingerprint, created_at,
                                status, answer)
                            VALUES (:workspace, :subject, :operation, :key, :print, now(), :status, :answer)
                            ON CONFLICT DO NOTHING"""),
                    {**row, "print": fingerprint, "status": response.status_code, "answer": answer},
                )

        task = asyncio.create_task(store())
        later.add(task)
        task.add_done_callback(later.discard)

    _replace(idempotency.Claim, "keep", keep)


def _events_by_chance() -> None:
    from services.metrics.event import rules

    _replace(rules, "identity", lambda *_: os.urandom(32))


def _acknowledged_unstored() -> None:
    from services.metrics.event.flush import Flusher, Post

    queue = Flusher.queue

    # Both ways of a post lead through it: the app's, and the one past ASGI.
    def queue_and_tell(self: Flusher, workspace_id: UUID, post: Post) -> None:
        queue(self, workspace_id, post)
        post.stored.set_result(True)

    _replace(Flusher, "queue", queue_and_tell)


def _settled_before_posted() -> None:
    from chassis.outbox import Relay

    async def deliver(self: Relay, subscriber: str) -> int:
        waiting = await self._lease(subscriber)
        if waiting:
            await self._settle(subscriber, [row.id for row in waiting], {})
            await self._post(subscriber, [self._event(row) for row in waiting])
        return len(waiting)

    _replace(Relay, "deliver", deliver)


def _inbox_forgets() -> None:
    from chassis import inbox

    first_time = inbox._first_time

    async def always(*arguments: Any) -> bool:
        await first_time(*arguments)
        return True

    _replace(inbox, "_first_time", always)


def _balance_unlocked() -> None:
    import re

    from sqlalchemy import text

    from services.budget.ledger import store

    # What was read is written back, whatever came meanwhile.
    written = re.sub(r"(allotted) = allotted \+ :allotted", r"\1 = :seen + :allotted", store._ADD.text)
    add = store.add_entry

    async def add_unlocked(session: Any, kind: Any, leg: Any, **more: Any) -> Any:
        seen = (await store.standing(session, leg.line_id)).balance.allotted
        await asyncio.sleep(0.002)
        store._ADD = text(written.replace(":seen", str(seen)))
        return await add(session, kind, leg, **more)

    _replace(store, "add_entry", add_unlocked)


BUGS: dict[str, Bug] = {
    "answer-before-commit": Bug(
        "a request's transaction is committed after its answer has left",
        _answer_before_commit,
        shows_at=(("goals", "write.before_commit"), ("budget", "write.before_commit")),
    ),
    "key-apart": Bug(
        "an Idempotency-Key is stored in a transaction of its own, after the one of the write",
        _key_apart,
        shows_at=(("goals", "write.before_answer"), ("budget", "write.before_answer")),
    ),
    "events-by-chance": Bug(
        "two deliveries of one e-mail event are never recognised as the same", _events_by_chance, "metrics"
    ),
    "acknowledged-unstored": Bug(
        "a webhook is answered while its events are still in memory",
        _acknowledged_unstored,
        "metrics",
        shows_at=(("metrics", "flush.before_commit"),),
    ),
    "settled-before-posted": Bug(
        "the relay marks events as delivered before it posts them",
        _settled_before_posted,
        # Not in the gateway: without its first event there is no workspace to send to.
        "goals",
        shows_at=(("goals", "relay.before_post"),),
    ),
    "inbox-forgets": Bug(
        "an event that is delivered again takes effect again",
        _inbox_forgets,
        shows_at=(("metrics", "inbox.after_commit"), ("goals", "inbox.after_commit")),
    ),
    "balance-unlocked": Bug(
        "a line's balance is read without a lock, and written back with what is added", _balance_unlocked, "budget"
    ),
}


def install(name: str, part: str) -> None:
    bug = BUGS[name]
    if bug.part in (None, part):
        bug.install()
