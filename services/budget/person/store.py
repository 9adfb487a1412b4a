"""Decides how people are found by their address, named where somebody may see them, and forgotten."""

from collections.abc import Collection, Mapping
from uuid import UUID, uuid4

from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from chassis.reading import Source
from chassis.secrets import keyed_hash, subkey
from services.budget.person.models import Contact


def address_key(secret_key: SecretStr, workspace_id: UUID) -> bytes:
    """The key of a workspace's address hashes: equal addresses of two workspaces don't look alike."""
    return subkey(secret_key, f"person:{workspace_id}")


async def person_of(session: AsyncSession, key: bytes, address: str, name: str | None = None) -> UUID:
    """The person with this address, made where there is none yet; called `name` from now on, if one is given."""
    found = await session.scalar(
        text("""
            INSERT INTO person (workspace_id, id, name, address, address_hash)
            VALUES (:workspace, :id, :name, :address, :hash)
            ON CONFLICT (workspace_id, address_hash) DO UPDATE SET name = coalesce(excluded.name, person.name)
            RETURNING id
        """),
        {
            "workspace": workspace_of(session), "id": uuid4(), "name": name, "address": address,
            "hash": keyed_hash(key, address),
        },
    )  # fmt: skip
    return UUID(str(found))


async def forget(session: AsyncSession, key: bytes, address: str) -> bool:
    """Takes name and address away; whether there was anything to take."""
    erased = await session.scalar(
        text("""
            UPDATE person SET name = NULL, address = NULL, address_hash = NULL
            WHERE workspace_id = :workspace AND address_hash = :hash RETURNING true
        """),
        {"workspace": workspace_of(session), "hash": keyed_hash(key, address)},
    )
    return bool(erased)


async def drop_unnamed(session: AsyncSession, person_id: UUID) -> None:
    """Deletes a person whom nothing names any more: there is no reason left to know them."""
    await session.execute(
        text("""
            DELETE FROM person WHERE workspace_id = :workspace AND id = :id
            AND NOT EXISTS (SELECT FROM seat WHERE workspace_id = :workspace AND person_id = :id)
            AND NOT EXISTS (SELECT FROM vendor WHERE workspace_id = :workspace AND contact_id = :id)
        """),
        {"workspace": workspace_of(session), "id": person_id},
    )


_PEOPLE = text("""
    SELECT id, name, address FROM person
    WHERE workspace_id = :workspace AND id = ANY(cast(:ids AS uuid[])) AND address IS NOT NULL
""")


async def addresses_of(source: Source, person_ids: Collection[UUID]) -> Mapping[UUID, str]:
    """Addresses by person, of those that weren't erased."""
    rows = await source.execute(_PEOPLE, {"workspace": workspace_of(source), "ids": list(set(person_ids))})
    return {row.id: row.address for row in rows}


async def contacts_of(source: Source, person_ids: Collection[UUID]) -> Mapping[UUID, Contact]:
    """Names and addresses by person, of those that weren't erased."""
    rows = await source.execute(_PEOPLE, {"workspace": workspace_of(source), "ids": list(set(person_ids))})
    return {row.id: Contact.model_construct(name=row.name or row.address, address=row.address) for row in rows}
