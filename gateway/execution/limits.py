"""Decides how big a query may be, before validation looks at it: one pass that looks at each fragment once.

Every number is of the query with its fragments written out, so that a fragment that spreads another twice, and so on,
counts for what it would cost. What a fragment costs is remembered by its name.

What a query costs is the objects that it may answer: one for each field with a selection, times the length of the lists
around it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
)

from chassis.paging import MOST
from gateway.failures import GraphFailure

MAX_BYTES = 64_000
MAX_TOKENS = 3_000
MAX_DEPTH = 20
MAX_FIELDS = 2_000
MAX_ALIASES = 100
MAX_DIRECTIVES = 50
MAX_SPREADS = 200
# Validation compares fields of one name with each other, and all that is in them.
MAX_COMPARED = 3_000
# Written into the document, or a variable's: validation looks at each in each operation, and errors quote them.
MAX_VALUES = 500
# Objects that may be answered if lists are as long as they may be.
MAX_OBJECTS = 20_000
MAX_INTROSPECTIONS = 2
DEFAULT_FIRST = 20

# Where one of them is asked for, there is a list, which is read whether or not its rows are looked at.
LISTS = frozenset({"edges", "nodes", "pageInfo"})
# Parts of a list, which are no objects of their own.
PARTS = LISTS | {"node"}
INTROSPECTION = frozenset({"__schema", "__type"})


@dataclass
class Cost:
    """What a selection takes."""

    depth: int = 0
    fields: int = 0
    aliases: int = 0
    directives: int = 0
    spreads: int = 0
    compared: int = 0
    values: int = 0
    objects: int = 0
    introspections: int = 0
    # What only concerns the selection itself, not the field that it belongs to.
    names: Counter[str] = field(default_factory=Counter)
    weights: Counter[str] = field(default_factory=Counter)
    is_list: bool = False


LIMITS = (
    ("depth", MAX_DEPTH, "QUERY_TOO_DEEP", "nests deeper than {} fields"),
    ("fields", MAX_FIELDS, "QUERY_TOO_LARGE", "has more than {} fields"),
    ("aliases", MAX_ALIASES, "QUERY_TOO_LARGE", "has more than {} aliases"),
    ("directives", MAX_DIRECTIVES, "QUERY_TOO_LARGE", "has more than {} directives"),
    ("spreads", MAX_SPREADS, "QUERY_TOO_LARGE", "spreads more than {} fragments"),
    ("compared", MAX_COMPARED, "QUERY_TOO_LARGE", "repeats fields that take more than {} comparisons"),
    ("values", MAX_VALUES, "QUERY_TOO_LARGE", "gives more than {} values: send lists as variables"),
    ("objects", MAX_OBJECTS, "QUERY_TOO_LARGE", "could answer more than {} objects: ask for fewer with `first`"),
    ("introspections", MAX_INTROSPECTIONS, "QUERY_TOO_LARGE", "asks for the schema more than {} times"),
)

SUMS = tuple(name for name, *_ in LIMITS if name != "depth")


class Limiter:
    """One pass over one document."""

    def __init__(self, document: DocumentNode, variables: Mapping[str, Any]) -> None:
        self._document = document
        self._variables = variables
        self._fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        # None while it is being looked at: a spread that meets itself there is a cycle.
        self._costs: dict[str, Cost | None] = {}
        # The variables that say how long lists are: with the same values, a document costs the same.
        self.lengths: set[str] = set()

    def check(self) -> int:
        """How many objects may be answered. Raises GraphFailure when the document asks for too much. Fragments that
        nobody spreads count too: validation looks at them all the same."""
        whole = Cost()
        for node in self._document.definitions:
            if isinstance(node, OperationDefinitionNode):
                cost = self._selection(node.selection_set, 1)
                cost.directives += len(node.directives or ())
                defaults = [each.default_value for each in node.variable_definitions or ()]
                cost.values += _values(each for each in defaults if each is not None)
                # Only fields of one operation are compared.
                cost.names.clear()
                cost.weights.clear()
                self._add(whole, cost)
        for name in self._fragments:
            self._within(self._fragment(name, 1))
        return whole.objects

    def _selection(self, selected: SelectionSetNode, depth: int) -> Cost:
        if depth > MAX_DEPTH:
            raise GraphFailure("QUERY_TOO_DEEP", f"the query nests deeper than {MAX_DEPTH} fields")
        cost = Cost()
        for node in selected.selections:
            cost.directives += len(node.directives or ())
            cost.values += _values(each.value for each in _given(node))
            if isinstance(node, FieldNode):
                self._field(cost, node, depth)
            elif isinstance(node, FragmentSpreadNode):
                cost.spreads += 1
                self._add(cost, self._fragment(node.name.value, depth))
            else:
                self._add(cost, self._selection(node.selection_set, depth))  # type: ignore[attr-defined]
            self._within(cost)
        return cost

    def _field(self, cost: Cost, node: FieldNode, depth: int) -> None:
        name = node.alias.value if node.alias else node.name.value
        cost.fields += 1
        cost.aliases += node.alias is not None
        cost.introspections += node.name.value in INTROSPECTION
        cost.is_list = cost.is_list or node.name.value in LISTS
        cost.depth = max(cost.depth, 1)
        if node.selection_set is None:
            _meet(cost, name, 1, 1)
            return
        inner = self._selection(node.selection_set, depth + 1)
        if inner.is_list or any(each.name.value == "first" for each in node.arguments or ()):
            inner.objects = self._length(node) * (inner.objects + 1)
        elif node.name.value not in PARTS and node.name.value not in INTROSPECTION:
            inner.objects += 1
        # Compared with one like it, each field in it meets all of its name there: as often as these are.
        _meet(cost, name, 1, 1 + inner.fields + 2 * inner.compared)
        inner.names.clear()
        inner.weights.clear()
        inner.is_list = False
        inner.depth += 1
        self._add(cost, inner)

    def _length(self, node: FieldNode) -> int:
        """How many rows a connection answers at most."""
        for argument in node.arguments or ():
            if argument.name.value == "first":
                value: Any = None
                if isinstance(argument.value, IntValueNode):
                    value = int(argument.value.value[:9])
                elif isinstance(argument.value, VariableNode):
                    self.lengths.add(argument.value.name.value)
                    value = self._variables.get(argument.value.name.value)
                return max(1, min(value, MOST)) if isinstance(value, int) else MOST  # defaults are as long as may be
        return DEFAULT_FIRST

    def _fragment(self, name: str, depth: int) -> Cost:
        if name not in self._fragments:
            return Cost()  # validation says so
        if name in self._costs:
            known = self._costs[name]
            if known is None:
                raise GraphFailure("GRAPHQL_VALIDATION_FAILED", f'the fragment "{name}" spreads itself')
            if depth - 1 + known.depth > MAX_DEPTH:
                raise GraphFailure("QUERY_TOO_DEEP", f"the query nests deeper than {MAX_DEPTH} fields")
            return known
        self._costs[name] = None
        definition = self._fragments[name]
        cost = self._selection(definition.selection_set, depth)
        cost.directives += len(definition.directives or ())
        self._costs[name] = cost
        return cost

    def _add(self, cost: Cost, other: Cost) -> None:
        cost.depth = max(cost.depth, other.depth)
        for name in SUMS:
            setattr(cost, name, getattr(cost, name) + getattr(other, name))
        for name, count in other.names.items():
            _meet(cost, name, count, other.weights[name])
        cost.is_list = cost.is_list or other.is_list
        self._within(cost)

    def _within(self, cost: Cost) -> None:
        for name, most, code, words in LIMITS:
            if getattr(cost, name) > most:
                raise GraphFailure(code, f"the query {words.format(most)}")


def _meet(cost: Cost, name: str, count: int, weight: int) -> None:
    """Adds fields of a name to a selection, which are compared with all that it has of that name. Of two that differ,
    the comparison takes what is between theirs with themselves."""
    cost.compared += (cost.weights[name] * count + cost.names[name] * weight) // 2
    cost.names[name] += count
    cost.weights[name] += weight


def _given(node: SelectionNode) -> Iterator[ArgumentNode]:
    """Its arguments, and its directives'."""
    yield from getattr(node, "arguments", None) or ()
    for directive in node.directives or ():
        yield from directive.arguments or ()


def _values(given: Iterable[ValueNode]) -> int:
    """How many these are, with all that is in them."""
    values = list(given)
    for value in values:
        if isinstance(value, ListValueNode):
            values += value.values
        elif isinstance(value, ObjectValueNode):
            values += [each.value for each in value.fields]
    return len(values)
