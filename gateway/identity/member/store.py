"""Decides how members are read and written."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ARRAY, Text, cast
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from chassis.db import get_row
from chassis.errors import Conflict, FieldError
from chassis.paging import filtered
from chassis.roles import Role
from gateway.identity.member.models import Member
from gateway.identity.member.rules import MemberState


async def add_member(session: AsyncSession, member: Member) -> None:
    """Conflict when the subject is a member already."""
    if await find_member(session, member.subject):
        taken = FieldError("subject", "taken", "this subject is a member already")
        raise Conflict("this subject is a member already", code="already_exists", errors=(taken,))
    session.add(member)
    await session.flush()


async def get_member(session: AsyncSession, member_id: UUID) -> Member:
    return await get_row(session, Member, member_id)


async def find_member(session: AsyncSession, subject: str) -> Member | None:
    """The member whom tokens with this subject mean, if they weren't removed."""
    found = select(Member).where(col(Member.subject) == subject, col(Member.state) != MemberState.REMOVED)
    return (await session.scalars(found)).one_or_none()


def select_members(
    ids: Sequence[UUID], subjects: Sequence[str], states: Sequence[MemberState], roles: Sequence[Role]
) -> SelectOfScalar[Member]:
    """Members that fit every filter given."""
    statement = filtered(Member, id=ids, subject=subjects, state=states)
    # No index serves this: under row-level security only leakproof operators may look before the policy has.
    wanted = cast([role.value for role in roles], ARRAY(Text))
    return statement.where(col(Member.roles).op("&&")(wanted)) if roles else statement
