"""Decides which documents are answered at all: small enough, well formed, valid; remembers the last ones' verdicts."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from graphql import DocumentNode, GraphQLError, GraphQLSchema, NoSchemaIntrospectionCustomRule, parse, validate
from graphql.validation import specified_rules

from gateway.execution.limits import MAX_BYTES, MAX_TOKENS, Limiter
from gateway.execution.selection import conditions
from gateway.failures import GraphFailure

# More than a few errors help nobody, and naming what was meant instead costs more than all the rest.
MAX_ERRORS = 5
# Bounds what is remembered: syntax trees take some hundred times the text's size.
REMEMBERED_CHARACTERS = 500_000
# Of one document, by the values of its variables that say how long lists are.
REMEMBERED_COSTS = 64


class Refusal(Exception):
    """A document that isn't executed, and why."""

    def __init__(self, errors: list[GraphQLError], code: str) -> None:
        super().__init__(code)
        self.errors = errors
        self.code = code


class Document:
    """A document that holds, and what it costs."""

    def __init__(self, text: str, ast: DocumentNode) -> None:
        self.text = text
        self.ast = ast
        # Known once it holds: the variables that say whether something is asked for.
        self.conditions: tuple[str, ...] = ()
        self._lengths: tuple[str, ...] | None = None
        self._costs: dict[tuple[int | None, ...], int] = {}

    def cost(self, variables: Mapping[str, Any]) -> int:
        """How many objects it may answer; raises Refusal when these are too many."""
        known = None if self._lengths is None else self._costs.get(_lengths(self._lengths, variables))
        if known is not None:
            return known
        limiter = Limiter(self.ast, variables)
        try:
            cost = limiter.check()
        except GraphFailure as problem:
            raise _refused(problem) from None
        if self._lengths is None:
            self._lengths = tuple(limiter.lengths)
        elif len(self._costs) >= REMEMBERED_COSTS:
            self._costs.clear()
        self._costs[_lengths(self._lengths, variables)] = cost
        return cost


class Documents:
    """Parses and validates each document once, as long as it is remembered. `explains`: whether the graph tells its
    schema, and what a misspelled name may have meant."""

    def __init__(self, schema: GraphQLSchema, *, explains: bool = False) -> None:
        self._schema = schema
        self._explains = explains
        self._rules = list(specified_rules) if explains else [*specified_rules, NoSchemaIntrospectionCustomRule]
        self._known: OrderedDict[str, Document | Refusal] = OrderedDict()
        self._characters = 0

    def read(self, text: str, variables: Mapping[str, Any]) -> tuple[Document, int]:
        """The document, ready to be executed, and its cost; raises Refusal."""
        known = self._known.get(text)
        if known is None:
            known = self._judge(text, variables)
            if isinstance(known, Refusal) and known.code != "GRAPHQL_VALIDATION_FAILED":
                raise known  # found out as quickly again, and not worth the room
            self._remember(text, known)
        else:
            self._known.move_to_end(text)
        if isinstance(known, Refusal):
            raise known
        return known, known.cost(variables)

    def _judge(self, text: str, variables: Mapping[str, Any]) -> Document | Refusal:
        if len(text) > MAX_BYTES:
            return _refused(GraphFailure("QUERY_TOO_LARGE", f"a query has {MAX_BYTES} characters at most"))
        try:
            document = Document(text, parse(text, max_tokens=MAX_TOKENS, max_comments=MAX_TOKENS))
            document.cost(variables)
        except GraphQLError as error:
            return Refusal([error], "GRAPHQL_PARSE_FAILED")
        except RecursionError:
            return _refused(GraphFailure("QUERY_TOO_DEEP", "the query nests too deeply to be read"))
        except Refusal as refusal:
            return refusal
        errors = validate(
            self._schema, document.ast, self._rules, max_errors=MAX_ERRORS, hide_suggestions=not self._explains
        )
        if errors:
            return Refusal([_of_the_document(each) for each in errors], "GRAPHQL_VALIDATION_FAILED")
        document.conditions = conditions(document.ast)
        return document

    def _remember(self, text: str, verdict: Document | Refusal) -> None:
        self._known[text] = verdict
        self._characters += len(text)
        while self._characters > REMEMBERED_CHARACTERS:
            forgotten, _ = self._known.popitem(last=False)
            self._characters -= len(forgotten)


def _lengths(names: tuple[str, ...], variables: Mapping[str, Any]) -> tuple[int | None, ...]:
    return tuple(value if isinstance(value, int) else None for value in map(variables.get, names))


def _of_the_document(error: GraphQLError) -> GraphQLError:
    """What breaks where a value is read, as Python's own limit on digits does, is wrong with the value."""
    if error.original_error is None or isinstance(error.original_error, GraphQLError):
        return error
    return GraphQLError("this value can't be one of its type", error.nodes)


def _refused(problem: GraphFailure) -> Refusal:
    return Refusal([GraphQLError(str(problem), original_error=problem)], problem.code)
