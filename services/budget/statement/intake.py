"""Decides how an upload is taken in: its file goes to disk while it comes, and then into the database piece by piece,
where every replica finds it."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from chassis.errors import Invalid
from services.budget.statement import store
from services.budget.statement.models import Statement, StatementUpload

PIECE = 1 << 20
MOST_FIELDS = 10


@dataclass(frozen=True)
class Upload:
    """What was sent: how to take it in, and the file, of which nothing is in memory."""

    asked: StatementUpload
    file: UploadFile
    size: int
    sha256: str

    @property
    def filename(self) -> str:
        """Without the folders that some browsers send."""
        name = PureWindowsPath(PurePosixPath(self.file.filename or "").name).name
        return "".join(each for each in name if each.isprintable())[:200] or "file"

    async def keep(self, session: AsyncSession, statement: Statement) -> None:
        """Writes the file down as an import's."""
        await self.file.seek(0)
        place = 0
        while piece := await self.file.read(PIECE):
            await store.add_part(session, statement.id, place, piece)
            place += 1


@asynccontextmanager
async def received(request: Request) -> AsyncIterator[Upload]:
    """A request's multipart body, read here and not by FastAPI: whoever sends it has said who they are."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise HTTPException(415, "send multipart/form-data")
    try:
        form = request.form(max_files=1, max_fields=MOST_FIELDS, max_part_size=10_000)
        async with form as sent:
            fields = {name: value for name, value in sent.multi_items() if name != "file"}
            file = sent.get("file")
            if not isinstance(file, UploadFile):
                raise RequestValidationError([{"loc": ("body", "file"), "type": "missing", "msg": "send a file"}])
            yield await _upload(fields, file)
    except ClientDisconnect:
        raise Invalid("the body ended before its end", code="multipart") from None
    except HTTPException as problem:
        if problem.status_code != 400:
            raise
        raise Invalid("the body isn't well-formed multipart/form-data", code="multipart") from None


async def _upload(fields: Mapping[str, object], file: UploadFile) -> Upload:
    try:
        asked = StatementUpload.model_validate(fields)
    except ValidationError as problem:
        errors = problem.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in errors]) from None
    digest, size = hashlib.sha256(), 0
    while piece := await file.read(PIECE):
        digest.update(piece)
        size += len(piece)
    if not size:
        raise Invalid.field("file", "the file is empty", "empty")
    return Upload(asked, file, size, digest.hexdigest())
