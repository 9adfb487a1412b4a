"""Decides which documents are answered at all: small enough, well formed, valid; remembers the last ones' verdicts."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from graphql import DocumentNode, GraphQLError, GraphQLSchema, parse, validate

from gateway.execution.limits import MAX_BYTES, MAX_TOKENS, Limiter
from gateway.failures import GraphFailure

# More than a few errors help nobody, and naming what was meant instead costs more than all the rest.
MAX_ERRORS = 10
# Bounds what is remembered: syntax trees take some hundred times the text's size.
REMEMBERED_CHARACTERS = 500_000


class Refusal(Exception):
    """A document that isn't executed, and why."""

    def __init__(self, errors: list[GraphQLError], code: str) -> None:
        super().__init__(code)
        self.errors = errors
        self.code = code


class Documents:
    """Parses and validates each document once, as long as it is remembered."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._known: OrderedDict[str, DocumentNode | Refusal] = OrderedDict()
        self._characters = 0

    def read(self, text: str, variables: Mapping[str, Any]) -> DocumentNode:
        """The document, ready to be executed; raises Refusal."""
        known = self._known.get(text)
        if known is None:
            known = self._judge(text, variables)
            if isinstance(known, Refusal) and known.code != "GRAPHQL_VALIDATION_FAILED":
                raise known  # found out as quickly again, and not worth the room
            self._remember(text, known)
        else:
            self._known.move_to_end(text)
            if isinstance(known, DocumentNode):
                # How much it asks for also depends on its variables.
                refusal = _too_much(known, variables)
                if refusal:
                    raise refusal
        if isinstance(known, Refusal):
            raise known
        return known

    def _judge(self, text: str, variables: Mapping[str, Any]) -> DocumentNode | Refusal:
        if len(text) > MAX_BYTES:
            problem = GraphFailure("QUERY_TOO_LARGE", f"a query has {MAX_BYTES} characters at most")
            return _refused(problem)
        try:
            document = parse(text, max_tokens=MAX_TOKENS, max_comments=MAX_TOKENS)
        except GraphQLError as error:
            return Refusal([error], "GRAPHQL_PARSE_FAILED")
        except RecursionError:
            return _refused(GraphFailure("QUERY_TOO_DEEP", "the query nests too deeply to be read"))
        refusal = _too_much(document, variables)
        if refusal:
            return refusal
        errors = validate(self._schema, document, max_errors=MAX_ERRORS, hide_suggestions=True)
        return Refusal(errors, "GRAPHQL_VALIDATION_FAILED") if errors else document

    def _remember(self, text: str, verdict: DocumentNode | Refusal) -> None:
        self._known[text] = verdict
        self._characters += len(text)
        while self._characters > REMEMBERED_CHARACTERS:
            forgotten, _ = self._known.popitem(last=False)
            self._characters -= len(forgotten)


def _too_much(document: DocumentNode, variables: Mapping[str, Any]) -> Refusal | None:
    try:
        Limiter(document, variables).check()
    except GraphFailure as problem:
        return _refused(problem)
    return None


def _refused(problem: GraphFailure) -> Refusal:
    return Refusal([GraphQLError(str(problem), original_error=problem)], problem.code)
