"""Decides how members are read and written."""

from uuid import UUID

from sqlalchemy import ARRAY, Text, bindparam
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from chassis.db import get_row
from chassis.errors import Conflict, FieldError
from gateway.identity.member.models import Member
from gateway.identity.member.rules import MemberState

# No index serves this: under row-level security only leakproof operators may look before the policy has.
HAS_ROLE = col(Member.roles).op("&&")(bindparam("role", type_=ARRAY(Text)))


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
