"""Decides how figures are recorded: one by one or many at once, each on its own merits."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import get_row, workspace_of, zone_of
from chassis.errors import Conflict, FieldError, Invalid, NotFound
from services.metrics.change.models import Change
from services.metrics.change.store import note_change
from services.metrics.metric.store import Definitions, definitions
from services.metrics.observation import store
from services.metrics.observation.models import (
    ImportAnswer,
    ImportedRow,
    Observation,
    ObservationCreate,
    Outcome,
    RowError,
)
from services.metrics.observation.rules import check_day, check_observable, check_value


@dataclass
class Row:
    """A figure to record, its place among the others, and what is wrong with it."""

    number: int
    create: ObservationCreate | None
    campaign: str | None = None
    errors: list[FieldError] = field(default_factory=list)
    outcome: Outcome = Outcome.REFUSED
    observation_id: UUID | None = None

    @property
    def cell(self) -> store.Cell:
        assert self.create is not None  # noqa: S101  # only rows that could be read have a cell
        return self.create.metric, self.create.day, self.create.campaign_id, self.create.reference


@dataclass(frozen=True)
class Recorder:
    """Who records when."""

    session: AsyncSession
    who: str
    now: datetime

    async def record(self, rows: Sequence[Row], reason: str | None, *, dry_run: bool = False) -> ImportAnswer:
        """Keeps every row that can be kept, and says of each what became of it."""
        await self._check(rows)
        await store.hold_observations(self.session)
        sound = [row for row in rows if not row.errors]
        held = await store.holding(self.session, {row.cell for row in sound})
        seen: dict[store.Cell, int] = {}
        added: list[Observation] = []
        for row in sound:
            if row.cell in seen:
                self._refuse(
                    row, "reference", "twice", f"the same metric, day, campaign and reference as {seen[row.cell]}"
                )
                continue
            seen[row.cell] = row.number
            made = self._decide(row, held.get(row.cell), reason)
            if made is not None:
                added.append(made)
        if not dry_run:
            await self._keep(added, held.values())
        return _answer(rows, dry_run=dry_run)

    async def _check(self, rows: Sequence[Row]) -> None:
        known = await definitions(self.session, {(row.create.metric, None) for row in rows if row.create})
        named = {_campaign(row) for row in rows} - {None}
        campaigns = await store.campaigns_by_id_or_slug(self.session, [each for each in named if each]) if named else {}
        today = self.now.astimezone(ZoneInfo(await zone_of(self.session))).date()
        for row in rows:
            if row.create is None:
                continue
            name = _campaign(row)
            if name is not None and name not in campaigns:
                self._refuse(row, "campaign" if row.campaign else "campaign_id", "unknown", f"no campaign {name[:100]}")
            elif name is not None:
                row.create.campaign_id = campaigns[name]
            try:
                check_day(row.create.day, today)
                _check_figure(known, row.create)
            except Invalid as problem:
                row.errors += problem.errors
            except NotFound as problem:
                self._refuse(row, "metric", "unknown", problem.detail)

    def _decide(self, row: Row, held: Observation | None, reason: str | None) -> Observation | None:
        create = row.create
        assert create is not None  # noqa: S101  # rows without one have errors
        if held is None:
            row.outcome = Outcome.RECORDED
            made = self.make(create, create.amount, create.currency)
        elif held.amount == create.amount and held.currency == create.currency:
            row.outcome, row.observation_id = Outcome.UNCHANGED, held.id
            return None
        elif reason is None:
            told = "nothing, as it was taken back" if held.value is None else f"{held.value:f}"
            self._refuse(row, "value", "observed", f"{told} is recorded; say why it is to be corrected")
            return None
        else:
            row.outcome = Outcome.CORRECTED
            made = self.correct(held, create.amount, reason, create.note)
        row.observation_id = made.id
        return made

    def make(self, create: ObservationCreate, amount: Decimal, currency: str | None) -> Observation:
        return Observation(
            workspace_id=workspace_of(self.session), metric=create.metric, campaign_id=create.campaign_id,
            day=create.day, amount=amount, currency=currency, reference=create.reference, note=create.note,
            recorded_at=self.now, recorded_by=self.who,
        )  # fmt: skip

    def correct(self, held: Observation, amount: Decimal | None, reason: str, note: str) -> Observation:
        """Another row in place of one that holds. That one stays as it is until this is kept."""
        return Observation(
            workspace_id=held.workspace_id, metric=held.metric, campaign_id=held.campaign_id, day=held.day,
            amount=amount, currency=held.currency, reference=held.reference, note=note, recorded_at=self.now,
            recorded_by=self.who, corrects_id=held.id, reason=reason,
        )  # fmt: skip

    async def held(self, observation_id: UUID) -> Observation:
        """A figure that is to be corrected, as it stands once whoever else records has done so."""
        await store.hold_observations(self.session)
        return await get_row(self.session, Observation, observation_id)

    async def replace(self, held: Observation, amount: Decimal | None, reason: str) -> Observation:
        """Corrects one figure, or takes it back. Conflict `corrected` when another holds in its place already."""
        if held.superseded_at is not None:
            newer = await store.correction_of(self.session, held.id)
            raise Conflict(f"{newer} holds in its place; correct that one", code="corrected")
        made = self.correct(held, amount, reason, held.note)
        await self._keep([made], [held])
        return made

    async def _keep(self, added: Sequence[Observation], held: Iterable[Observation]) -> None:
        corrected = {each.corrects_id for each in added}
        for each in held:
            if each.id in corrected:
                each.superseded_at = self.now
        # What no longer holds makes room in the index before what does comes in.
        await self.session.flush()
        await store.add_observations(self.session, added)
        changed = Change.over((each.campaign_id, each.day) for each in added)
        await note_change(self.session, changed, self.now)

    def _refuse(self, row: Row, field_name: str, code: str, words: str) -> None:
        row.outcome = Outcome.REFUSED
        row.errors.append(FieldError(field_name, code, words))


def _campaign(row: Row) -> str | None:
    if row.campaign:
        return row.campaign
    return str(row.create.campaign_id) if row.create and row.create.campaign_id else None


def _check_figure(known: Definitions, create: ObservationCreate) -> None:
    metric = known.get(create.metric)
    check_observable(metric)
    check_value(metric, create.figure, create.currency)


def _answer(rows: Sequence[Row], *, dry_run: bool) -> ImportAnswer:
    counts = Counter(row.outcome for row in rows)
    kept = [
        ImportedRow(
            row=row.number, outcome=row.outcome,
            observation_id=None if dry_run and row.outcome is not Outcome.UNCHANGED else row.observation_id,
            errors=[RowError(field=each.field, code=each.code, message=each.message) for each in row.errors],
        )
        for row in rows
    ]  # fmt: skip
    return ImportAnswer(
        dry_run=dry_run, rows=kept, recorded=counts[Outcome.RECORDED], corrected=counts[Outcome.CORRECTED],
        unchanged=counts[Outcome.UNCHANGED], refused=counts[Outcome.REFUSED],
    )  # fmt: skip
