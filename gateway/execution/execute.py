"""Decides how an operation of a document that holds becomes an answer: by a plan where there can be one, and by
graphql-core where there can't, or where a service didn't answer as it promised."""

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    get_variable_values,
)
from graphql import execute as execute_fields

from gateway.execution.compile import Compiler
from gateway.execution.documents import MAX_ERRORS, Document
from gateway.execution.plan import Plan, Running
from gateway.execution.selection import NotPlanned, Selections
from gateway.failures import log_unforeseen, shown
from gateway.reads import Context, Unreadable

log = logging.getLogger("mops.graph")

# A plan takes some 100 kB with its structs and decoders.
REMEMBERED_PLANS = 300


@dataclass(frozen=True)
class Answer:
    """What an operation gives: data unless it never began, and why parts of it are missing."""

    data: Any
    errors: list[GraphQLError]

    def sent(self, request_id: str) -> dict[str, Any]:
        """As it goes to the caller."""
        sent: dict[str, Any] = {}
        if self.errors:
            log_unforeseen(self.errors, request_id)
            # In the order of places, which doesn't depend on who answered first.
            sent["errors"] = [shown(error) for error in sorted(self.errors, key=lambda error: error.path or [])]
        # Errors without a path are of variables, and no data goes with them.
        if self.data is not None or any(error.path is not None for error in self.errors) or not self.errors:
            sent["data"] = self.data
        return sent


class Executor:
    """Answers operations, and remembers the plans of the last ones."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._plans: OrderedDict[tuple[Any, ...], Plan | None] = OrderedDict()

    async def answer(
        self, document: Document, variables: Mapping[str, Any], operation: OperationDefinitionNode, context: Context,
        row: Mapping[str, Any] | None = None,
    ) -> Answer:  # fmt: skip
        """The answer of one operation; of a subscription, to the row that happened."""
        try:
            return await self.by_plan(document, variables, operation, context, row) or await self.by_fields(
                document, variables, operation, context, row
            )
        finally:
            await context.close()

    async def by_plan(
        self, document: Document, variables: Mapping[str, Any], operation: OperationDefinitionNode, context: Context,
        row: Mapping[str, Any] | None = None,
    ) -> Answer | None:  # fmt: skip
        """None when it isn't the plan's to answer."""
        if operation.operation is OperationType.MUTATION:
            return None
        defined = operation.variable_definitions or ()
        coerced = get_variable_values(self._schema, defined, dict(variables), max_errors=MAX_ERRORS)
        if isinstance(coerced, list):
            return None
        try:
            plan = self._plan(document, operation, coerced)
            if plan is None:
                return None
            running = Running(context, coerced)
            return Answer(await plan.run(running, row), running.errors)
        except Unreadable:
            return None
        except GraphQLError:
            return None  # of arguments, which graphql-core places
        except Exception:
            # A mistake in a plan costs time, not the answer: graphql-core gives it from what is read already.
            log.exception("plan_failed")
            return None

    def _plan(self, document: Document, operation: OperationDefinitionNode, variables: Any) -> Plan | None:
        flags = {name: variables.coerced.get(name) for name in document.conditions}
        key = (document.text, operation.name and operation.name.value, *flags.values())
        if key not in self._plans:
            try:
                plan: Plan | None = Compiler(self._schema, Selections(document.ast, operation, flags)).plan()
            except NotPlanned:
                plan = None
            self._plans[key] = plan
            if len(self._plans) > REMEMBERED_PLANS:
                self._plans.popitem(last=False)
        self._plans.move_to_end(key)
        return self._plans[key]

    async def by_fields(
        self, document: Document, variables: Mapping[str, Any], operation: OperationDefinitionNode, context: Context,
        row: Mapping[str, Any] | None = None,
    ) -> Answer:  # fmt: skip
        """The answer of graphql-core, field by field, on what has been read already."""
        answer = execute_fields(
            self._schema,
            document.ast,
            row,
            context_value=context,
            variable_values=dict(variables),
            operation_name=operation.name.value if operation.name else None,
            hide_suggestions=True,
        )
        result: ExecutionResult = await answer if isawaitable(answer) else answer
        return Answer(result.data, result.errors or [])
