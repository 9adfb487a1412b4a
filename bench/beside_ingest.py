"""Decides what taking events in is held against: FastAPI with nothing to do, what people write first, ASGI alone."""

from datetime import datetime
from typing import Any

import asyncpg
import uvicorn
from fastapi import FastAPI, Request
from pydantic import BaseModel

from chassis.serving import served


class Told(BaseModel):
    type: str
    recipient: str
    message_id: str
    occurred_at: datetime
    tags: list[str]
    url: str | None = None
    machine: bool = False


def peers(dsn: str) -> FastAPI:
    """What FastAPI does with an event and nothing to do; and what people write first."""
    app = FastAPI()

    @app.post("/nothing")
    async def nothing(event: Told) -> dict[str, int]:
        return {"received": 1}

    @app.post("/naive")
    async def naive(events: list[Told], request: Request) -> dict[str, int]:
        pool = getattr(app.state, "pool", None)
        if pool is None:
            pool = app.state.pool = await asyncpg.create_pool(dsn, min_size=1, max_size=4)
        async with pool.acquire() as connection:
            for event in events:
                await connection.execute(
                    "INSERT INTO naive (type, recipient, message_id, occurred_at, url) VALUES ($1, $2, $3, $4, $5)"
                    " ON CONFLICT DO NOTHING",
                    event.type, event.recipient, event.message_id, event.occurred_at, event.url,
                )  # fmt: skip
        return {"received": len(events)}

    return app


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Takes a body and answers: nothing that runs on this server can cost less."""
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"14")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"received":1}'})


def serve_bare(port: int) -> None:
    serve(bare, port)


def serve(app: Any, port: int) -> None:
    uvicorn.Server(served(app, host="127.0.0.1", port=port)).run()


def serve_peers(dsn: str, port: int) -> None:
    serve(peers(dsn), port)
