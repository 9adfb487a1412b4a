"""Decides which documents a plan and graphql-core are held against each other with: valid ones of everything that the
shelf's graph has, with aliases, fragments, variables, conditions and lists in lists."""

import re
from typing import Any

from graphql import GraphQLField, GraphQLObjectType, GraphQLSchema, get_named_type, is_leaf_type
from hypothesis import strategies as st

from gateway.derive.pages import Position, list_of

VARIABLES = {"yes": True, "no": False, "few": 2, "month": "may", "nothing": None}
DECLARED = {
    "yes": "Boolean!", "no": "Boolean = false", "few": "Int", "month": 'String! = "june"', "nothing": "String",
}  # fmt: skip
# After the first of each list as it is when nothing narrows it; of another one it is refused.
CURSORS = [
    f'"{Position(None, 1, list_of(name, query)).encoded()}"'
    for name, query in (
        ("list_shelves", []),
        ("list_books", [("by", "shelf_id")]),
        ("list_books", [("by", "book_ids")]),
    )
]
# What an argument may be, by its name.
GIVEN = {
    "first": ["1", "2", "$few", "3", "0"],
    "after": ["$nothing", '"bm8"', "null", *CURSORS],
    "month": ['"may"', '"june"', '"never"', "$month"],
    "id": ['"s0"', '"s9"', "null"],
    "name": ['"S1"', '"no"'],
    "city": ['"Ulm"', "$nothing"],
}
CONDITIONS = ["", "", "", "", " @include(if: $yes)", " @skip(if: $no)", " @skip(if: true)", " @include(if: $no)"]


class _Writing:
    """One document that is being written."""

    def __init__(self, draw: Any, schema: GraphQLSchema) -> None:
        self.draw = draw
        self.schema = schema
        self.number = 0
        self.fragments: list[str] = []

    def next_name(self) -> str:
        self.number += 1
        return f"a{self.number}"

    def selection(self, kind: GraphQLObjectType, depth: int) -> str:
        fields = [
            (name, field)
            for name, field in kind.fields.items()
            if depth > 0 or is_leaf_type(get_named_type(field.type))
        ]
        chosen = self.draw(st.lists(st.sampled_from(fields or [("__typename", None)]), min_size=1, max_size=3))
        return "{ " + " ".join(self.wrapped(kind, self.field(name, field, depth)) for name, field in chosen) + " }"

    def field(self, name: str, field: GraphQLField | None, depth: int) -> str:
        if field is None:
            return str(self.draw(st.sampled_from(["__typename", f"{self.next_name()}: __typename"])))
        given = []
        for argument, said in field.args.items():
            needed = str(said.type).endswith("!")
            if argument in GIVEN and (needed or self.draw(st.booleans())):
                given.append(f"{argument}: {self.draw(st.sampled_from(GIVEN[argument]))}")
        inner = get_named_type(field.type)
        below = self.selection(inner, depth - 1) if isinstance(inner, GraphQLObjectType) else ""
        alias = f"{self.next_name()}: " if given or self.draw(st.booleans()) else ""
        arguments = f"({', '.join(given)})" if given else ""
        condition = self.draw(st.sampled_from(CONDITIONS))
        return f"{alias}{name}{arguments}{condition} {below}"

    def wrapped(self, kind: GraphQLObjectType, text: str) -> str:
        how = self.draw(st.integers(0, 9))
        if how == 0:
            return f"... {{ {text} }}"
        if how == 1:
            return f"... on {kind.name} @include(if: $yes) {{ {text} }}"
        if how == 2:
            name = f"F{len(self.fragments)}"
            self.fragments.append(f"fragment {name} on {kind.name} {{ {text} }}")
            return f"...{name} ...{name}"
        return text


@st.composite
def documents(draw: Any, schema: GraphQLSchema) -> str:
    """A query of which each part is valid."""
    writing = _Writing(draw, schema)
    assert schema.query_type
    root = writing.selection(schema.query_type, 5)
    body = " ".join(["{ ...R }", f"fragment R on Query {root}", *writing.fragments])
    used = ", ".join(f"${name}: {kind}" for name, kind in DECLARED.items() if re.search(rf"\${name}\b", body))
    return f"query Q{f'({used})' if used else ''} {body}"
