"""Decides how a failure looks in the graph: a message that may be shown, a stable code, and whose failure it is."""

import logging
from typing import Any

from graphql import GraphQLError

from gateway.derive.names import camel_path

log = logging.getLogger("mops.graph")

# Of the fields that a read's refusal names, as it may be said again for each of many rows.
MOST_FIELDS = 5
BY_STATUS = {401: "UNAUTHENTICATED", 403: "FORBIDDEN", 404: "NOT_FOUND"}


class GraphFailure(Exception):
    """A failure that the caller may read about."""

    def __init__(self, code: str, message: str, *, service: str | None = None, reason: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.service = service
        # The service's own code, where `code` is coarser.
        self.reason = reason

    @property
    def extensions(self) -> dict[str, Any]:
        said = {"code": self.code, "service": self.service, "reason": self.reason}
        return {name: value for name, value in said.items() if value is not None}


class Away(GraphFailure):
    """A service that didn't answer as one that is well does. `again`: it may just have been between two processes."""

    again = False


class Refused(GraphFailure):
    """A service's problem details with a 4xx: the caller asked for something that can't be."""

    def __init__(self, service: str, status: int, problem: dict[str, Any]) -> None:
        own = str(problem.get("code", "")).upper() or "REFUSED"
        code = BY_STATUS.get(status, own)
        detail = str(problem.get("detail", "")) or f"{service} refuses this"
        super().__init__(code, detail, service=service, reason=own.lower() if own != code else None)
        self.status = status
        self.problem = problem

    @property
    def fields(self) -> list[dict[str, Any]]:
        """What is wrong with which argument or input field, as the graph spells it."""
        return [
            {"field": camel_path(str(each["field"])), "code": each["code"], "message": each["message"]}
            for each in self.problem.get("errors", ())
        ]

    @property
    def extensions(self) -> dict[str, Any]:
        found = self.fields[:MOST_FIELDS]
        return super().extensions | ({"errors": found} if found else {})


def shown(error: GraphQLError, code: str = "BAD_USER_INPUT") -> dict[str, Any]:
    """An error as it is sent. What nobody foresaw is masked; `code` is for what graphql-core itself found wrong."""
    sent: dict[str, Any] = dict(error.formatted)
    cause = error.original_error
    if isinstance(cause, GraphFailure):
        sent["message"], sent["extensions"] = str(cause), cause.extensions
    elif cause is not None and not isinstance(cause, GraphQLError):
        sent["message"], sent["extensions"] = "internal error", {"code": "INTERNAL"}
    else:
        sent.setdefault("extensions", {}).setdefault("code", code)
    return sent


def log_unforeseen(errors: list[GraphQLError], request_id: str) -> None:
    """One line for each failure that nobody foresaw, however many fields it cost."""
    causes = {id(error.original_error): error.original_error for error in errors}
    for cause in causes.values():
        if cause is not None and not isinstance(cause, GraphFailure | GraphQLError):
            log.error("graph_field_failed", exc_info=cause, extra={"request_id": request_id})
