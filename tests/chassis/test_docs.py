"""What a page promises: it needs no other host, and the browser is told to reach none."""

import re

import httpx
import pytest

from chassis.stack import parts
from tests.parts import Connect

LOADED = re.compile(r"""(?:src|href|spec-url)="([^"]+)"|\burl: *'([^']+)'""")
STYLED = re.compile(r"""url\(["']?(?!data:|#)([^"')]+)|@import ["']([^"']+)""")


async def load(http: httpx.AsyncClient, page: str) -> set[str]:
    """Everything that a page and its styles load, each of which must be there."""
    answer = await http.get(page, headers={"Accept": "text/html"})
    assert answer.status_code == 200
    policy = dict(each.strip().split(" ", 1) for each in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert not [rule for name, rule in policy.items() if name != "connect-src" and ("*" in rule or "http" in rule)]
    named = {one or other for one, other in LOADED.findall(answer.text)}
    assert len(named) >= 3
    for path in named:
        found = await http.get(path)
        assert found.status_code == 200, path
        assert not (path.endswith(".css") and STYLED.findall(found.text)), path
    return named


@pytest.mark.parametrize("part", sorted(parts()))
async def test_the_docs_of_a_part_load_nothing_from_another_host(connect: Connect, part: str) -> None:
    named = await load(connect(part), "/docs")
    assert "/openapi.json" in named
    assert not [path for path in named if not re.match(r"/(?!/)", path)]


async def test_the_graphs_editor_loads_nothing_from_another_host(connect: Connect) -> None:
    named = await load(connect("gateway"), "/graphql")
    assert not [path for path in named if not re.match(r"/(?!/)", path)]


async def test_an_answer_that_is_no_page_needs_no_policy(connect: Connect) -> None:
    assert "content-security-policy" not in (await connect("goals").get("/openapi.json")).headers
