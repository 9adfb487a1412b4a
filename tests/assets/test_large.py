"""What large files cost: no memory, no half of them, and nothing when the disk is full."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from chassis.testing import TestStack
from tests.assets.process import Process, serving
from tests.deploy.until import until
from tests.parts import Workspace

MEBIBYTE = 1024 * 1024
BLOCK = os.urandom(MEBIBYTE)
HEAD = (
    b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\nFilm\r\n'
    b'--b\r\nContent-Disposition: form-data; name="kind"\r\n\r\nvideo\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="film.mp4"\r\n\r\n'
)


def body(blocks: int, end: bytes = b"\r\n--b--\r\n") -> Iterator[bytes]:
    yield HEAD
    for _ in range(blocks):
        yield BLOCK
    yield end


def cut_off() -> Iterator[bytes]:
    yield from (HEAD, BLOCK, BLOCK)
    raise ConnectionAbortedError


def send(client: httpx.Client, blocks: int) -> httpx.Response:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return client.post("/v1/assets", content=body(blocks), headers=headers)


def client(process: Process, workspace: Workspace) -> httpx.Client:
    return httpx.Client(base_url=process.url, headers=workspace.headers(), timeout=120)


def test_a_large_file_comes_and_goes_without_memory(stack: TestStack, workspace: Workspace, tmp_path: Path) -> None:
    blocks = 300
    with serving(stack, tmp_path) as process, client(process, workspace) as assets:
        assert send(assets, 1).status_code == 201
        before, most = process.memory, 0
        sent = send(assets, blocks)
        assert sent.status_code == 201, sent.text
        most = process.memory
        digest = hashlib.sha256()
        with assets.stream("GET", f"/v1/assets/{sent.json()['id']}/content") as answer:
            for number, block in enumerate(answer.iter_bytes(MEBIBYTE)):
                digest.update(block)
                if number % 50 == 0:
                    most = max(most, process.memory)
        expected = hashlib.sha256()
        for _ in range(blocks):
            expected.update(BLOCK)
        assert digest.hexdigest() == expected.hexdigest() == sent.json()["sha256"]
        assert most - before < 50 * MEBIBYTE


def test_a_full_disk_is_said_and_nothing_is_lost_or_left(
    stack: TestStack, workspace: Workspace, tmp_path: Path
) -> None:
    with serving(stack, tmp_path, most_bytes=8 * MEBIBYTE) as process, client(process, workspace) as assets:
        kept = send(assets, 2)
        before = process.files
        full = send(assets, 9)
        assert (full.status_code, full.json()["code"]) == (503, "store_full")
        assert int(full.headers["retry-after"]) > 0
        assert process.files == before
        assert [each["id"] for each in assets.get("/v1/assets").json()["items"]] == [kept.json()["id"]]
        assert send(assets, 3).status_code == 201


def test_readers_and_senders_who_go_away_leave_nothing_open(
    stack: TestStack, workspace: Workspace, tmp_path: Path
) -> None:
    with serving(stack, tmp_path) as process, client(process, workspace) as assets:
        made = send(assets, 40).json()
        kept = process.files
        opened = process.process.num_fds()
        for _ in range(5):
            with (
                client(process, workspace) as gone,
                gone.stream("GET", f"/v1/assets/{made['id']}/content", headers={"Range": "bytes=1-"}) as answer,
            ):
                assert next(answer.iter_raw())
        for _ in range(5):
            with client(process, workspace) as gone, pytest.raises(ConnectionAbortedError):
                gone.post("/v1/assets", content=cut_off(), headers={"Content-Type": "multipart/form-data; boundary=b"})
        until(lambda: process.files == kept and process.process.num_fds() <= opened + 1, "all is closed and swept")
