"""Decides which families of hostile queries the graph is tried with."""

import re


def nested(levels: int) -> str:
    return "{" + "campaigns{nodes{goals{nodes{" * levels + "id" + "}" * (levels * 4 + 1)


def doubling(levels: int) -> str:
    fragments = [f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(levels)]
    return "{ ...F0 } " + " ".join(fragments) + f" fragment F{levels} on Query {{ __typename }}"


def each(count: int, text: str) -> str:
    """The text so many times, `#` being which time it is."""
    return " ".join(text.replace("#", str(number)) for number in range(count))


def crossing(levels: int) -> str:
    """Fragments that nest fields, each with the next one twice: pairs to compare double by level."""
    fragments = [
        f"fragment F{n} on Campaign {{ goals {{ nodes {{ campaigns {{ nodes {{ ...F{n + 1} ...F{n + 1} }} }} }} }} }}"
        for n in range(levels)
    ]
    return "{ campaign { ...F0 } } " + " ".join(fragments) + f" fragment F{levels} on Campaign {{ id }}"


HOSTILE = {
    "deep": nested(30),
    "deeper than the parser": "{a" * 2000 + "}" * 2000,
    "deep lists": "{ a(b: " + "[" * 1900 + "]" * 1900 + ") }",
    "deep objects": "{ a(b: " + "{c:" * 1300 + "1" + "}" * 1300 + ") }",
    "aliases": "{" + each(250, "a#: __typename") + "}",
    "aliased lists": "{" + each(50, "a#: campaigns(first: 200) { nodes { goals { nodes { id } } } }") + "}",
    "the same field": "{" + " id" * 1300 + "}",
    "the same nested field": "{" + "a{b b}" * 500 + "}",
    "the same list again and again": "{campaign{" + "goals{nodes{id}}" * 140 + "}}",
    "the same lists within each other": "{campaign{" + ("goals(first:1){nodes{" + "id " * 12 + "}}") * 60 + "}}",
    "inline fragments": "{" + "...{id}" * 500 + "}",
    "nested inline fragments": "{" + "...{" * 900 + "id" + "}" * 901,
    "doubling fragments": doubling(60),
    "doubling fragments, few": doubling(12),
    "crossing fragments": crossing(25),
    "a cycle": "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
    "a cycle of its own": "{ ...A } fragment A on Query { ...A ...A }",
    "unused fragments": doubling(60).replace("...F0", "__typename", 1),
    "directives": "{ __typename" + " @skip(if: false)" * 220 + "}",
    "unknown directives": "{ __typename" + " @a" * 1300 + "}",
    "directives on the operation": "query" + " @a" * 1300 + "{ __typename }",
    "introspection of introspection": "{ __schema { types { " + "fields { type { " * 12 + "name" + "}" * 27,
    "introspection again and again": "{" + each(50, "a#: __schema { types { name fields { name } } }") + "}",
    "a long list of long lists": re.sub("(campaigns|goals){", r"\1(first: 200){", nested(2)),
    "unknown fields": "{" + each(400, "campain#") + "}",
    "unknown fields of an input": "mutation{createCampaign(input:{" + each(580, "a#:1") + "}){errors{code}}}",
    "unknown variables": "query(" + each(300, "$a#: B#") + ") { __typename }",
    "many operations": each(200, "query Q# { id }"),
    "many operations of one fragment": each(120, "query Q# { ...F }") + "fragment F on Query {" + "...{id}" * 90 + "}",
    "a long list as a default": "query($a:[ID!]=[" + "1 " * 1900 + "]){campaigns(id:$a){nodes{id}}}",
    "many operations of many variables": each(70, "query Q#($a:ID!){...F}")
    + "fragment F on Query{campaigns(id:[" + "$a " * 600 + "]){nodes{id}}}",
    "comments": "#\n" * 2000 + "{ id }",
    "an endless string": '{ a(b: "' + "x" * 3900,
    "block strings": "{" + ' a(b: """\n' + "\n " * 1900 + '""") }',
}  # fmt: skip
