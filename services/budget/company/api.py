"""Decides what callers can do with figures of the company that money is a share of."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.answers import Derive, page, read_of, read_row
from chassis.db import Now, Reading, Session, add_row, workspace_of, zone_of
from chassis.editing import IfMatch, edited, held
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Fields, Listing, fields_of, listing
from chassis.paging import Page
from chassis.reading import Source
from services.budget.company import store
from services.budget.company.models import CompanyFigure, CompanyFigureCreate, CompanyFigurePatch, CompanyFigureRead
from services.budget.company.rules import assert_figure

router = APIRouter(route_class=IdempotentRoute, tags=["company figures"])


def _shares(now: datetime) -> Derive:
    async def found(source: Source, figures: Sequence[Any]) -> Mapping[UUID, Any]:
        day = now.astimezone(ZoneInfo(await zone_of(source))).date()
        return await store.shares_of(source, figures, day)

    return found


async def _read(session: AsyncSession, figure: CompanyFigure, now: datetime) -> CompanyFigureRead:
    return await read_of(session, CompanyFigureRead, figure, share=_shares(now))


@router.post("/v1/company-figures", status_code=201, dependencies=[scope("budget:approve")])
async def create_company_figure(
    create: CompanyFigureCreate, session: Session, who: CurrentPrincipal, now: Now
) -> CompanyFigureRead:
    """Says what the whole company's budget or revenue is in a period. A name is taken once: 409 `already_exists`."""
    assert_figure(create.amount.minor)
    row = {"workspace_id": workspace_of(session), "created_by": who.subject, "created_at": now}
    figure = CompanyFigure.model_validate(create.columns() | row)
    await add_row(session, figure)
    return await _read(session, figure, now)


@router.get("/v1/company-figures/{id}", dependencies=[scope("budget:read")])
async def get_company_figure(
    id: UUID, reading: Reading, now: Now, fields: Fields = fields_of(CompanyFigureRead)
) -> CompanyFigureRead:
    """One figure, and what share of it is planned and spent."""
    return await read_row(reading, CompanyFigure, id, CompanyFigureRead, fields, share=_shares(now))


@router.get("/v1/company-figures", dependencies=[scope("budget:read")])
async def list_company_figures(
    reading: Reading,
    now: Now,
    asked: Listing[CompanyFigureRead] = listing(
        CompanyFigure,
        CompanyFigureRead,
        sort=("name", "period_start", "created_at"),
        by=("kind", "period_start", "created_at"),
    ),
) -> Page[CompanyFigureRead]:
    """Figures of the company, the oldest first unless sorted otherwise."""
    return await page(reading, asked, share=_shares(now))


@router.patch("/v1/company-figures/{id}", dependencies=[scope("budget:approve")])
async def update_company_figure(
    id: UUID, patch: CompanyFigurePatch, if_match: IfMatch, session: Session, now: Now
) -> CompanyFigureRead:
    """Changes its name or its amount."""
    figure = await held(session, CompanyFigure, id, if_match)
    wanted = edited(CompanyFigureCreate, await _read(session, figure, now), patch)
    assert_figure(wanted.amount.minor)
    figure.sqlmodel_update(wanted.columns())
    await session.flush()
    return await _read(session, figure, now)
