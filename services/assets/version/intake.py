"""Decides how a file becomes a kept one: received, looked at, refused or made durable."""

import asyncio
from uuid import UUID

from services.assets.asset.rules import AssetKind, refuse_page
from services.assets.version.inspection.inspect import Media, inspect
from services.assets.version.multipart import Upload
from services.assets.version.objects import Objects, troubles_told
from services.assets.version.rules import clean_filename

# Looking at files costs CPU: so many at a time, whoever uploads.
_LOOKING = asyncio.Semaphore(2)


async def take_in(objects: Objects, workspace_id: UUID, kind: AssetKind, upload: Upload) -> dict[str, object]:
    """Keeps an upload's file and says what an asset notes of it. Invalid when the file is dangerous."""
    staged = upload.file
    async with _LOOKING:
        with troubles_told():
            media: Media = await asyncio.to_thread(inspect, staged.file)
    refuse_page(kind, media.media_type)
    await objects.keep(workspace_id, staged)
    return {
        "filename": clean_filename(upload.filename),
        "media_type": media.media_type,
        "size": staged.size,
        "sha256": staged.sha256,
        "width": media.width,
        "height": media.height,
    }
