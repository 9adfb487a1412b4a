"""How tests send files."""

from typing import Any

import httpx

PNG = b"\x89PNG\r\n\x1a\n" + b"logo"


async def send(assets: httpx.AsyncClient, content: bytes, name: str = "logo.png", **fields: Any) -> httpx.Response:
    data = {"title": "Logo", "kind": "logo"} | fields
    return await assets.post("/v1/assets", data=data, files={"file": (name, content, "text/html")})


async def upload(
    assets: httpx.AsyncClient, content: bytes = PNG, name: str = "logo.png", **fields: Any
) -> dict[str, Any]:
    created = await send(assets, content, name, **fields)
    assert created.status_code == 201, created.text
    asset: dict[str, Any] = created.json()
    return asset


async def replace(assets: httpx.AsyncClient, asset: dict[str, Any], content: bytes) -> httpx.Response:
    return await assets.post(f"/v1/assets/{asset['id']}/versions", files={"file": ("new.png", content)})
