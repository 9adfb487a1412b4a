"""Decides which fields a selection asks for of one type, with fragments, aliases, @skip and @include resolved."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from graphql import (
    BooleanValueNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    Node,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    Visitor,
    visit,
)


class NotPlanned(Exception):
    """The operation is one that graphql-core executes."""


CONDITIONS = frozenset({"skip", "include"})


def conditions(document: DocumentNode) -> tuple[str, ...]:
    """The variables that say whether something is asked for at all."""
    found: set[str] = set()

    class Conditions(Visitor):
        def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
            if node.name.value in CONDITIONS:
                found.update(
                    each.value.name.value for each in node.arguments or () if isinstance(each.value, VariableNode)
                )

    visit(document, Conditions())
    return tuple(sorted(found))


class Selections:
    """One operation of a document, with the variables that its conditions know."""

    def __init__(self, document: DocumentNode, operation: OperationDefinitionNode, flags: Mapping[str, Any]) -> None:
        self.operation = operation
        self._flags = flags
        self._fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }

    def fields(self, kind: GraphQLObjectType, sets: Iterable[SelectionSetNode]) -> dict[str, list[FieldNode]]:
        """Fields by the name that they are answered under, in the order of their first."""
        found: dict[str, list[FieldNode]] = {}
        spread: set[str] = set()
        for each in sets:
            for node in self._fields(kind, each.selections, spread):
                found.setdefault((node.alias or node.name).value, []).append(node)
        return found

    def _fields(
        self, kind: GraphQLObjectType, selections: Iterable[SelectionNode], spread: set[str]
    ) -> Iterator[FieldNode]:
        for node in selections:
            if not self._asked(node):
                continue
            if isinstance(node, FieldNode):
                yield node
                continue
            if isinstance(node, FragmentSpreadNode):
                if node.name.value in spread:
                    continue
                spread.add(node.name.value)
                fragment: Any = self._fragments[node.name.value]
            else:
                fragment = node
            # There are neither unions nor interfaces in the graph: a fragment is on this type, or on no other.
            if fragment.type_condition is None or fragment.type_condition.name.value == kind.name:
                yield from self._fields(kind, fragment.selection_set.selections, spread)

    def _asked(self, node: SelectionNode) -> bool:
        said = {each.name.value: each for each in node.directives or () if each.name.value in CONDITIONS}
        if "skip" in said and self._holds(said["skip"]):
            return False
        return "include" not in said or self._holds(said["include"])

    def _holds(self, condition: DirectiveNode) -> bool:
        (argument,) = condition.arguments or ()
        if isinstance(argument.value, VariableNode):
            flag = self._flags[argument.value.name.value]
            if flag is None:
                raise NotPlanned("a condition that is neither true nor false")
            return bool(flag)
        assert isinstance(argument.value, BooleanValueNode)  # noqa: S101  # as validation has it
        return argument.value.value


def variables_in(node: Node) -> bool:
    """Whether a field's arguments depend on variables."""

    class Variables(Visitor):
        found = False

        def enter_variable(self, *_: Any) -> None:
            self.found = True

    looked = Variables()
    visit(node, looked)
    return looked.found
