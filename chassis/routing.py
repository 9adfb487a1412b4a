"""Decides which routes a request is held against: those of its collection, where FastAPI tries all one by one."""

from collections import defaultdict
from functools import cached_property

from fastapi import APIRouter, FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send


def collection(path: str) -> str:
    """`campaigns` of `/v1/campaigns/{id}/plan`; of what has no version, `docs` of `/docs/oauth2-redirect`."""
    first, _, rest = path.removeprefix("/").partition("/")
    return rest.partition("/")[0] if first == "v1" else first


def methods_at(app: FastAPI, path: str) -> list[str]:
    """What can be done at a path: of several routes there, Starlette names the first one's methods alone."""
    here = (each for each in iter_route_contexts(app.router.routes) if each.methods and each.path_regex.match(path))
    return sorted({method for each in here for method in each.methods or ()})


class Collections:
    """A router's routes by their collection, as they are at the first request. What belongs to none, or is for no
    route, meets all of them, as before."""

    def __init__(self, router: APIRouter) -> None:
        self._router, self._whole = router, router.middleware_stack

    @cached_property
    def _of(self) -> dict[str, APIRouter]:
        found: dict[str, list[BaseRoute]] = defaultdict(list)
        for route in self._router.routes:
            for key in {collection(each.path or "") for each in iter_route_contexts([route])}:
                found[key].append(route)
        # Where the collection itself is a parameter, its routes could be anybody's.
        anywhere = any("{" in key for key in found)
        return {} if anywhere else {key: _only(self._router, routes) for key, routes in found.items() if key}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        of = self._of.get(collection(scope["path"])) if scope["type"] == "http" else None
        await (of or self._whole)(scope, receive, send)


def _only(router: APIRouter, routes: list[BaseRoute]) -> APIRouter:
    made = APIRouter(redirect_slashes=router.redirect_slashes, default=router.default)
    made.routes = routes
    return made


def route_by_collection(app: FastAPI) -> None:
    """Once all routes are there."""
    app.router.middleware_stack = Collections(app.router)
