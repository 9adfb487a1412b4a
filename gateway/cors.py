"""Decides which pages elsewhere may ask: those of the origins that the settings name, and no others."""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

# Who calls is said by a token in a header, never by a cookie: so no credentials, and no request that isn't asked about
# first by the browser can do anything.
SENT = ("Authorization", "Content-Type", "Last-Event-Id", "Traceparent", "Tracestate", "X-Request-Id")
TOLD = ("Retry-After", "Www-Authenticate", "X-Request-Id")


class Cors:
    """Answers browsers' questions before anything else; the settings are known once the app is up."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._allowing: dict[tuple[str, ...], ASGIApp] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        origins = tuple(scope["app"].state.settings.cors_origins)
        if origins not in self._allowing:
            self._allowing[origins] = self._app if not origins else CORSMiddleware(
                self._app, allow_origins=origins, allow_methods=("GET", "POST"), allow_headers=SENT,
                expose_headers=TOLD, max_age=3600,
            )  # fmt: skip
        await self._allowing[origins](scope, receive, send)
