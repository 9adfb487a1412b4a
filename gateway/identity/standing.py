"""Decides that a workspace is administered by somebody who still stands, who gives no more than they have, and who
leaves a way in."""

from collections.abc import Collection
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy import Boolean, Text, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Reading, Session, workspace_of
from chassis.errors import Conflict, Forbidden
from chassis.identity import CurrentPrincipal
from chassis.reading import Source
from chassis.tokens import Principal

CLIENT_PREFIX = "client:"


# A token outlives what it was given for by minutes; here nobody profits from that.
async def _standing(principal: CurrentPrincipal, session: Session) -> Principal:
    await _assert_stands(principal, session)
    return principal


async def _standing_reader(request: Request, reading: Reading) -> None:
    # As the reading's own: the route's scope has found who calls.
    await _assert_stands(request.state.principal, reading)


async def _assert_stands(principal: Principal, source: Source) -> None:
    given = {"subject": principal.subject, "client": _client_id(principal.subject)}
    ((fallen,),) = await source.execute(_FALLEN, given)
    if fallen:
        raise Forbidden("your access was taken away", code="access_ended")


# Whoever is in neither list came by an issuer that says itself what its people may.
_FALLEN = (
    text("""
        SELECT EXISTS (SELECT FROM api_client WHERE id = :client AND revoked_at IS NOT NULL)
            OR EXISTS (SELECT FROM member WHERE subject = :subject AND state <> 'active')
               AND NOT EXISTS (SELECT FROM member WHERE subject = :subject AND state = 'active') AS fallen
    """)
    .bindparams(bindparam("client", type_=Uuid), bindparam("subject", type_=Text))
    .columns(fallen=Boolean)
)

# What a route of the administration that only reads depends on, after its scope.
STANDING = Depends(_standing_reader)
Administrator = Annotated[Principal, Depends(_standing)]


def _client_id(subject: str) -> UUID | None:
    try:
        return UUID(subject.removeprefix(CLIENT_PREFIX)) if subject.startswith(CLIENT_PREFIX) else None
    except ValueError:
        return None


def refuse_beyond(own: Collection[str], given: Collection[str]) -> None:
    """Forbidden when somebody would give what they don't have themselves."""
    beyond = sorted(set(given) - set(own))
    if beyond:
        raise Forbidden(f"you can't give what your own token lacks: {' '.join(beyond)}", code="beyond_own")


async def hold(session: AsyncSession) -> None:
    """Lets no other transaction take away a way in until this one ends: two could each take the other's."""
    await session.execute(
        text("SELECT FROM workspace WHERE workspace_id = :id FOR UPDATE"), {"id": workspace_of(session)}
    )


async def keep_a_way_in(session: AsyncSession) -> None:
    """Conflict when nobody is left who could let anybody in. What ends by itself, and people who can't sign in, don't
    count."""
    left = text("""
        SELECT EXISTS (SELECT FROM member
                       WHERE state = 'active' AND 'admin' = ANY(roles) AND subject NOT LIKE 'member:%')
            OR EXISTS (SELECT FROM api_client WHERE revoked_at IS NULL AND expires_at IS NULL AND 'admin' = ANY(roles)
                       AND (scopes IS NULL OR 'identity:write' = ANY(scopes)))
    """)
    if not await session.scalar(left):
        raise Conflict("nobody would be left who may administer this workspace", code="last_admin")
