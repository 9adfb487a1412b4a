"""Decides how Alembic reaches a schema: over the connection that it is given, with the version kept in that schema."""

from alembic import context
from sqlalchemy import MetaData

from chassis.db import NAMES

attributes = context.config.attributes
part = attributes["part"]

connection = attributes["connection"]
context.configure(
    connection=connection,
    version_table_schema=part,
    # A foreign or unique key that a migration leaves without a name has the one that the models give it. What a check
    # is called, a migration says.
    target_metadata=MetaData(naming_convention={kind: name for kind, name in NAMES.items() if kind != "ck"}),
    transaction_per_migration=False,
)
# Unqualified names in migrations are the schema's own; a failed migration leaves nothing behind.
with context.begin_transaction():
    connection.exec_driver_sql(f'SET LOCAL search_path TO "{part}"')
    context.run_migrations()
