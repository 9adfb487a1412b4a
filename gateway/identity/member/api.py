"""Decides how a workspace's admins keep its people, and what the others see of them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from chassis.answers import Derive, of_row, page, read_row
from chassis.db import Now, Reading, Session, workspace_of
from chassis.editing import IfMatch, edited, held
from chassis.errors import Conflict
from chassis.fields import new_id
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Fields, Filter, Listing, fields_of, listing
from chassis.paging import Page
from chassis.roles import Role, scopes_of
from chassis.tokens import Principal
from gateway.identity import standing
from gateway.identity.member import store
from gateway.identity.member.models import Me, Member, MemberCreate, MemberFields, MemberPatch, MemberRead
from gateway.identity.member.rules import MemberState, lets_others_in, local_subject, moved, refuse_own_rise
from gateway.identity.standing import Administrator

router = APIRouter(route_class=IdempotentRoute, tags=["members"])

WithRole = Annotated[list[Role], Query(description="Only members with one of these roles.")]


def _email(member: Member, caller: Principal) -> str | None:
    return member.email if "identity:read" in caller.scopes else None


def _shown(member: Member, caller: Principal) -> MemberRead:
    return MemberRead.of(member, email=_email(member, caller))


def _shown_to(caller: Principal) -> Derive:
    return of_row(lambda member: _email(member, caller))


@router.get("/v1/me", dependencies=[scope("workspace:read")])
async def get_me(session: Session, caller: CurrentPrincipal) -> Me:
    """Who the token means here, and what it allows."""
    member = await store.find_member(session, caller.subject)
    return Me(
        subject=caller.subject, workspace_id=caller.workspace_id, roles=sorted(caller.roles),
        scopes=sorted(caller.scopes), member=MemberRead.model_validate(member) if member else None,
    )  # fmt: skip


@router.post("/v1/members", status_code=201, dependencies=[scope("identity:write")])
async def create_member(create: MemberCreate, session: Session, caller: Administrator, now: Now) -> MemberRead:
    """Makes somebody a member. 403 `beyond_own` for roles that may more than the caller's token."""
    standing.refuse_beyond(caller.scopes, scopes_of(create.roles))
    member_id = new_id()
    member = Member(
        workspace_id=workspace_of(session), id=member_id, subject=create.subject or local_subject(member_id),
        name=create.name, email=create.email, roles=list(create.roles), state=MemberState.ACTIVE,
        created_at=now, created_by=caller.subject,
    )  # fmt: skip
    await store.add_member(session, member)
    return _shown(member, caller)


@router.get("/v1/members/{id}", dependencies=[scope("workspace:read")])
async def get_member(
    id: UUID, reading: Reading, caller: CurrentPrincipal, fields: Fields = fields_of(MemberRead)
) -> MemberRead:
    """One member."""
    return await read_row(reading, Member, id, MemberRead, fields, email=_shown_to(caller))


@router.get("/v1/members", dependencies=[scope("workspace:read")])
async def list_members(
    reading: Reading,
    caller: CurrentPrincipal,
    asked: Listing[MemberRead] = listing(
        Member,
        MemberRead,
        sort=("name", "created_at"),
        by=("subject", "state", "created_at"),
        also=[Filter("role", WithRole, [], Member.roles, store.HAS_ROLE)],
    ),
) -> Page[MemberRead]:
    """The workspace's people, removed ones too."""
    return await page(reading, asked, email=_shown_to(caller))


@router.patch("/v1/members/{id}", dependencies=[scope("identity:write")])
async def update_member(
    id: UUID, patch: MemberPatch, session: Session, caller: Administrator, if_match: IfMatch
) -> MemberRead:
    """Changes name, address or roles. 403 `beyond_own` for roles that may more than the caller's token, `own_roles` for
    more in one's own; 409 `last_admin` for the last way into the workspace."""
    await standing.hold(session)
    member = await held(session, Member, id, if_match)
    if member.state == MemberState.REMOVED:
        raise Conflict("this member was removed; add them anew", code="wrong_state")
    wanted = edited(MemberFields, MemberRead.model_validate(member), patch)
    before, roles = list(member.roles), list(wanted.roles)
    if roles != before:
        refuse_own_rise(caller.subject, member.subject, before, roles)
        standing.refuse_beyond(caller.scopes, scopes_of(roles))
    let_others_in = lets_others_in(member.subject, member.state, before)
    member.name, member.email, member.roles = wanted.name, wanted.email, roles
    await session.flush()
    if let_others_in:
        await standing.keep_a_way_in(session)
    return _shown(member, caller)


@router.post("/v1/members/{id}/suspend", dependencies=[scope("identity:write")])
async def suspend_member(id: UUID, session: Session, caller: Administrator) -> MemberRead:
    """Takes access away for a while: no more tokens by exchange; one that is out ends within 15 minutes. 409
    `last_admin` for the last way into the workspace."""
    return await _move(session, id, MemberState.SUSPENDED, caller)


@router.post("/v1/members/{id}/resume", dependencies=[scope("identity:write")])
async def resume_member(id: UUID, session: Session, caller: Administrator) -> MemberRead:
    """Gives access back."""
    return await _move(session, id, MemberState.ACTIVE, caller)


@router.post("/v1/members/{id}/remove", dependencies=[scope("identity:write")])
async def remove_member(id: UUID, session: Session, caller: Administrator) -> MemberRead:
    """Takes access away for good and erases name and address. 409 `last_admin` for the last way into the workspace."""
    return await _move(session, id, MemberState.REMOVED, caller)


async def _move(session: Session, id: UUID, to: MemberState, caller: Principal) -> MemberRead:
    await standing.hold(session)
    member = await store.get_member(session, id)
    let_others_in = lets_others_in(member.subject, member.state, member.roles)
    if to == MemberState.ACTIVE:
        standing.refuse_beyond(caller.scopes, scopes_of(member.roles))
    member.state = moved(member.state, to)
    if to == MemberState.REMOVED:
        member.name, member.email = "", None
    await session.flush()
    if let_others_in and to != MemberState.ACTIVE:
        await standing.keep_a_way_in(session)
    return _shown(member, caller)
