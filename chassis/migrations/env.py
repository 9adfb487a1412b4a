"""Decides how Alembic reaches a schema: over the connection that it is given, with the version kept in that schema."""

from alembic import context

attributes = context.config.attributes
part = attributes["part"]

connection = attributes["connection"]
context.configure(
    connection=connection,
    version_table_schema=part,
    transaction_per_migration=False,
)
# Unqualified names in migrations are the schema's own; a failed migration leaves nothing behind.
with context.begin_transaction():
    connection.exec_driver_sql(f'SET LOCAL search_path TO "{part}"')
    context.run_migrations()
