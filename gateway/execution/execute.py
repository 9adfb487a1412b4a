"""Decides how an operation of a valid document becomes an answer: here a plan can take graphql-core's place."""

from collections.abc import Mapping
from inspect import isawaitable
from typing import Any

from graphql import DocumentNode, ExecutionResult, GraphQLSchema
from graphql import execute as execute_fields

from gateway.reads import Context


async def execute(
    schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any], operation_name: str | None,
    context: Context,
) -> ExecutionResult:  # fmt: skip
    """The answer of one operation."""
    try:
        answer = execute_fields(
            schema,
            document,
            context_value=context,
            variable_values=dict(variables),
            operation_name=operation_name,
            hide_suggestions=True,
        )
        return await answer if isawaitable(answer) else answer
    finally:
        await context.close()
