"""Decides how a row is edited: by a JSON merge patch, against the version of it that its editor has seen."""

from collections.abc import Collection, Mapping
from copy import copy
from typing import Annotated, Any, Protocol, TypeVar, cast
from uuid import UUID

from fastapi import Depends, Header, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from pydantic_core import PydanticUndefined
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import declared_attr
from sqlmodel import Field, SQLModel

from chassis.db import RowType, get_row
from chassis.errors import Invalid, Stale, VersionRequired
from chassis.fields import Input, refuse_nul

HEADER = "If-Match"


class Editable(SQLModel):
    """Beside a service's `Table`: rows that can be edited. `version` rises with each change made through the session;
    what the system notes of a row by SQL of its own (when to look again) leaves it as it is."""

    version: int = Field(default=1, sa_column_kwargs={"server_default": "1"})

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, Any]:  # noqa: N805  # the decorator's grammar
        return {"version_id_col": cls.__table__.c.version}  # type: ignore[attr-defined]


class Versioned(Protocol):
    version: int


class Match:
    """The versions that a caller is willing to change: those named, or any."""

    def __init__(self, versions: frozenset[int] | None) -> None:
        self._versions = versions

    def check(self, row: Versioned) -> None:
        """Stale unless the row, held by this transaction, is one that the caller has seen."""
        if self._versions is not None and row.version not in self._versions:
            raise Stale(
                f"it is at version {row.version} now: read it again, and send that version as {HEADER}",
                current=row.version,
            )


async def _match(
    request: Request,
    if_match: Annotated[
        str | None,
        Header(
            max_length=200,
            examples=['"3"'],
            description="The `version` that you have seen, in quotes or without; `*`: whatever it is now. Another one "
            "is 412, and nothing is changed. An edit (PATCH) without it is 428.",
        ),
    ] = None,
) -> Match:
    if if_match is None:
        if request.method == "PATCH":
            raise VersionRequired(f"say which version you edit: send its `version` as {HEADER}")
        return Match(None)
    if if_match.strip() == "*":
        return Match(None)
    # What packs answers on the way calls their tags weak; a version is the same one all the same.
    named = [each.strip().removeprefix("W/").strip('"') for each in if_match.split(",")]
    if not all(each.isascii() and each.isdigit() and len(each) < 10 for each in named):
        raise Invalid.field(HEADER, 'a version as it was read, for example "3", or *', "malformed")
    return Match(frozenset(map(int, named)))


IfMatch = Annotated[Match, Depends(_match)]


async def held(session: AsyncSession, model: type[RowType], row_id: UUID, if_match: Match) -> RowType:
    """The workspace's row with this id, held until the transaction ends; NotFound if there is none, Stale if it isn't
    as the caller has seen it."""
    row = await get_row(session, model, row_id, lock=True)
    if_match.check(cast(Versioned, row))
    return row


class Patch(BaseModel):
    """Base of what a PATCH takes (RFC 7396): `class XPatch(Patch, of=XCreate, without={"slug"})` has the fields of
    XCreate but those, each as it is there, none required. A field that isn't sent stays as it is; null is a value like
    any other, refused where XCreate refuses it."""

    model_config = ConfigDict(extra="forbid")

    def __init_subclass__(cls, *, of: type[Input], without: Collection[str] = ()) -> None:
        super().__init_subclass__()

    @classmethod
    def __pydantic_init_subclass__(  # type: ignore[override]
        cls, *, of: type[Input], without: Collection[str] = ()
    ) -> None:
        for name, field in of.model_fields.items():
            if name not in without:
                # A factory, as a default would be told in the schema, as if it were what an absent field becomes.
                optional = copy(field)
                optional.default, optional.default_factory = PydanticUndefined, lambda: None
                cls.model_fields[name] = optional
                cls.__annotations__[name] = optional.annotation
        cls.model_rebuild(force=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_nul(cls, value: Any) -> Any:
        return refuse_nul(value)


CreateType = TypeVar("CreateType", bound=Input)


def edited(create: type[CreateType], current: BaseModel, patch: Patch) -> CreateType:
    """What the row would be, said as its create model: the current read model with the patch merged in. Checked as a
    whole, so that a field is refused that doesn't go with one which stays."""
    known = current.model_dump(include=set(create.model_fields), by_alias=True)
    try:
        return create.model_validate(_merge(known, patch.model_dump(exclude_unset=True, by_alias=True)))
    except ValidationError as problem:
        found = problem.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**error, "loc": ("body", *error["loc"])} for error in found]) from None


def _merge(known: Any, patch: Any) -> Any:
    if not isinstance(known, Mapping) or not isinstance(patch, Mapping):
        return patch
    return {**known, **{name: _merge(known.get(name), value) for name, value in patch.items()}}
