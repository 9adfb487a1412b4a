"""Decides how an operation of a document that holds becomes an answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from graphql import ExecutionResult, GraphQLSchema, OperationDefinitionNode
from graphql import execute as execute_fields

from gateway.execution.documents import Document
from gateway.failures import log_unforeseen, shown
from gateway.reads import Context


@dataclass(frozen=True)
class Answer:
    """What an operation gives: data unless it never began, and why parts of it are missing."""

    result: ExecutionResult

    def sent(self, request_id: str) -> dict[str, Any]:
        """As it goes to the caller."""
        errors = self.result.errors or []
        sent: dict[str, Any] = {}
        if errors:
            log_unforeseen(errors, request_id)
            sent["errors"] = [shown(error) for error in errors]
        # Errors without a path are of variables, and no data goes with them.
        if self.result.data is not None or any(error.path is not None for error in errors) or not errors:
            sent["data"] = self.result.data
        return sent


async def execute(
    schema: GraphQLSchema, document: Document, variables: Mapping[str, Any], operation: OperationDefinitionNode,
    context: Context,
) -> Answer:  # fmt: skip
    """The answer of one operation."""
    try:
        answer = execute_fields(
            schema,
            document.ast,
            context_value=context,
            variable_values=dict(variables),
            operation_name=operation.name.value if operation.name else None,
            hide_suggestions=True,
        )
        return Answer(await answer if isawaitable(answer) else answer)
    finally:
        await context.close()
