"""Decides what an account of the installation is made of: a service's own, or the operator's."""

from sqlalchemy import ARRAY, Column, LargeBinary, Table, Text

from gateway.db import METADATA

# Of no workspace. deploy/stack.toml says what a service may ask for.
service_account = Table(
    "service_account", METADATA,
    Column("name", Text, primary_key=True),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
)  # fmt: skip
