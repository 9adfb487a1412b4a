"""Decides how a version's bytes leave: whole, in part, or not at all because the caller has them."""

import secrets
from collections.abc import AsyncIterator

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from chassis import problems
from services.assets.version.models import AssetVersion
from services.assets.version.objects import BLOCK, Objects
from services.assets.version.ranges import Span, content_range, part_heads, spans_of
from services.assets.version.rules import content_headers, is_fresh, range_holds, served_as


async def content_of(request: Request, version: AssetVersion) -> Response:
    """The answer to GET or HEAD. Nothing of the database is needed while the bytes leave."""
    objects: Objects = request.app.state.objects
    headers = content_headers(version.filename, version.sha256, version.media_type)
    if is_fresh(request.headers.get("if-none-match", ""), version.sha256):
        del headers["Content-Type"]
        return Response(status_code=304, headers=headers)
    size = version.size
    spans = None
    if request.method == "GET" and range_holds(request.headers.get("if-range", ""), version.sha256):
        spans = spans_of(request.headers.get("range", ""), size)
    if spans == []:
        unknown = {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"}
        return problems.answer(
            416, "range", f"the file has {size} bytes; none of them are in this range", headers=unknown
        )
    if request.method == "HEAD":
        return Response(headers=headers | {"Content-Length": str(size)})
    if spans is not None and len(spans) > 1:
        return await _several(objects, version, headers, spans)
    (span,) = spans or [Span(0, size)]
    headers["Content-Length"] = str(span.size)
    if spans:
        headers["Content-Range"] = content_range(span, size)
    status = 206 if spans else 200
    place = (version.workspace_id, version.sha256, span.start, span.end)
    if span.size <= BLOCK:
        return Response(await objects.read(*place), status, headers)
    return StreamingResponse(await objects.open(*place), status, headers)


async def _several(
    objects: Objects, version: AssetVersion, headers: dict[str, str], spans: list[Span]
) -> StreamingResponse:
    boundary = secrets.token_hex(16)
    heads, end = part_heads(spans, version.size, served_as(version.media_type), boundary)
    first = await objects.open(version.workspace_id, version.sha256, spans[0].start, spans[0].end)

    async def parts() -> AsyncIterator[bytes | memoryview]:
        bytes_of = first
        for number, (head, span) in enumerate(zip(heads, spans, strict=True)):
            yield head
            if number:
                bytes_of = await objects.open(version.workspace_id, version.sha256, span.start, span.end)
            async for block in bytes_of:
                yield block
        yield end

    headers["Content-Type"] = f"multipart/byteranges; boundary={boundary}"
    headers["Content-Length"] = str(sum(map(len, heads)) + sum(span.size for span in spans) + len(end))
    return StreamingResponse(parts(), 206, headers)
