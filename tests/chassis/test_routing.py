"""A request meets its collection's routes alone, and is answered as if it had met all."""

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from chassis.routing import Collections, collection, route_by_collection
from tests.parts import APPS


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/v1/campaigns", "campaigns"), ("/v1/campaigns/", "campaigns"), ("/v1/campaigns/{id}/plan", "campaigns"),
        ("/livez", "livez"), ("/docs/oauth2-redirect", "docs"), ("/v1", ""), ("/v1/", ""), ("/", ""), ("", ""),
        ("//v1/campaigns", ""),
    ],
)  # fmt: skip
def test_a_path_has_the_collection_after_its_version(path: str, key: str) -> None:
    assert collection(path) == key


@pytest.mark.parametrize("part", sorted(APPS))
def test_every_part_s_paths_are_found_by_collection_and_few_are_tried(part: str) -> None:
    routing = APPS[part].router.middleware_stack
    assert isinstance(routing, Collections)
    for path in APPS[part].openapi()["paths"]:
        assert 0 < len(routing._of[collection(path)].routes) < len(APPS[part].router.routes)


def answering(word: str, *paths: str) -> APIRouter:
    router = APIRouter()
    for path in paths:
        router.add_api_route(path, lambda: word)
    return router


async def asked(*routers: APIRouter) -> dict[str, tuple[int, str]]:
    app = FastAPI()
    for router in routers:
        app.include_router(router)
    route_by_collection(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://part") as http:
        found = {}
        for method, path in (
            ("GET", "/v1/lines"), ("GET", "/v1/lines/x/forecast"), ("POST", "/v1/lines"), ("GET", "/v1/lines/"),
            ("GET", "/v1/lines/x/y/z"), ("GET", "/v1/seats"), ("GET", "/v1"), ("GET", "/openapi.json"),
        ):  # fmt: skip
            answer = await http.request(method, path)
            found[f"{method} {path}"] = answer.status_code, answer.text[:12]
        return found


async def test_two_slices_share_a_collection_and_what_is_for_none_is_answered_as_ever() -> None:
    lines, forecasts, seats = (
        answering("lines", "/v1/lines"), answering("forecasts", "/v1/lines/{id}/forecast"),
        answering("seats", "/v1/seats"),
    )  # fmt: skip
    assert await asked(lines, forecasts, seats) == {
        "GET /v1/lines": (200, '"lines"'), "GET /v1/lines/x/forecast": (200, '"forecasts"'),
        "POST /v1/lines": (405, '{"detail":"M'), "GET /v1/lines/": (307, ""),
        "GET /v1/lines/x/y/z": (404, '{"detail":"N'), "GET /v1/seats": (200, '"seats"'),
        "GET /v1": (404, '{"detail":"N'), "GET /openapi.json": (200, '{"openapi":"'),
    }  # fmt: skip


async def test_a_collection_that_is_a_parameter_takes_what_no_other_does() -> None:
    found = await asked(answering("seats", "/v1/seats"), answering("any", "/v1/{collection}"))
    assert (found["GET /v1/seats"][1], found["GET /v1/lines"][1]) == ('"seats"', '"any"')
