"""Where a part goes by itself: to public hosts, and nowhere else."""

import asyncio
import socket
import ssl
import threading
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from chassis import outside
from chassis.outside import MOST_BYTES, Outside, RefusedError, UnreachableError, is_public

PRIVATE = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.1.2.3",
    "169.254.169.254", "169.254.0.1", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.170", "192.0.2.1",
    "192.88.99.1", "192.168.0.1", "192.168.255.255", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1",
    "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1",
    "2001:0:7f00:1::", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1",
    "5f00::1", "fc00::1", "fd00::1", "fd12:3456:789a::1", "fe80::1", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip
# Ways of writing an address that a resolver takes for one.
SPELLINGS = ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "localhost", "[::1]", "[::ffff:7f00:1]"]

# Once for all: it takes longer to load than a test.
TRUST = ssl.create_default_context()


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_of_ones_own_network_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "54.239.28.85", "2606:4700::1111", "2a00:1450::1"])
def test_a_host_of_the_internets_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("host", [*SPELLINGS, *(f"[{each}]" if ":" in each else each for each in PRIVATE)])
async def test_nothing_private_is_connected_to_however_it_is_written(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dialled(*_: object, **__: object) -> None:
        pytest.fail("it was dialled")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", dialled)
    monkeypatch.setattr(anyio, "connect_tcp", dialled)
    for asking in (Outside(trust=TRUST).get(f"https://{host}/x"), _post(Outside(trust=TRUST), f"https://{host}/x")):
        with pytest.raises((RefusedError, UnreachableError)):  # what no resolver knows is unreachable
            await asking


@pytest.mark.parametrize("host", [*SPELLINGS, *(f"[{each}]" if ":" in each else each for each in PRIVATE)])
def test_an_address_that_is_private_by_itself_is_refused_before_anybody_goes_there(host: str) -> None:
    if host != "localhost":  # a name
        with pytest.raises(RefusedError):
            Outside(trust=TRUST).check(f"https://{host}/x")


async def _post(outside: Outside, url: str, seconds: float = 20) -> int:
    return (await outside.post(url, b"{}", {"Content-Type": "application/json"}, seconds)).status


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/",
        "ftp://a.example/",
        "https://",
        "https:///x",
        "https://u:p@a.example/",
        "x",
        "",
        "https://[x/",
        "https://a.example:0/",
        "https://a.example:65536/",
    ],
)
async def test_only_https_is_fetched(url: str) -> None:
    asked: list[str] = []

    async def resolve(host: str, _: int) -> list[str]:
        asked.append(host)
        return ["1.1.1.1"]

    with pytest.raises(RefusedError):
        await Outside(resolve, TRUST).get(url)
    with pytest.raises(RefusedError):
        await _post(Outside(resolve, TRUST), url)
    assert asked == []


@pytest.mark.parametrize("found", [["10.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["fe80::1%eth0"], []])
async def test_a_name_that_leads_inside_is_refused_whatever_else_it_leads_to(found: list[str]) -> None:
    async def resolve(_: str, __: int) -> list[str]:
        return found

    with pytest.raises(RefusedError):
        await Outside(resolve, TRUST).get("https://a.example/")
    with pytest.raises(RefusedError):
        await _post(Outside(resolve, TRUST), "https://a.example/")


async def test_names_that_nobody_answers_for_keep_no_other_name_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def found(host: bytes, *_: object, **__: object) -> list[Any]:
        if host != b"well.example":
            answered.wait(20)
        return [(0, 0, 0, "", ("10.0.0.1", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    waiting = [asyncio.create_task(outside._resolve(f"h{each}.example", 443)) for each in range(300)]
    await asyncio.sleep(0)  # all of them have asked
    try:
        async with asyncio.timeout(10):
            assert await outside._resolve("well.example", 443) == ["10.0.0.1"]
    finally:
        answered.set()
        await asyncio.gather(*waiting)


def _certified(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server of that name shows, and what trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(1).not_valid_before(datetime(2020, 1, 1)).not_valid_after(datetime(2040, 1, 1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False).sign(key, SHA256())
    )  # fmt: skip
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    shows = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shows.load_cert_chain(chain, private)
    return shows, ssl.create_default_context(cafile=str(chain))


async def test_a_name_is_resolved_once_and_that_very_address_is_asked_as_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shows, trusts = _certified(tmp_path, "a.example")
    answers = {
        "/ok": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        "/moved": b"HTTP/1.1 302 Found\r\nLocation: https://b.example/\r\nContent-Length: 0\r\n\r\n",
        "/long": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * (MOST_BYTES + 1),
        "/gone": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    }
    hosts: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        hosts.append(next(line for line in head.split("\r\n") if line.lower().startswith("host:")))
        writer.write(answers[head.split(" ")[1]])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=shows)
    port = server.sockets[0].getsockname()[1]
    resolved: list[str] = []

    async def resolve(host: str, _: int) -> list[str]:
        resolved.append(host)
        return ["127.0.0.1"]

    # The one address of this machine that a test can serve from stands for a public one.
    monkeypatch.setattr(outside, "is_public", lambda address: str(address) == "127.0.0.1")
    async with server:
        get = Outside(resolve, trusts).get
        assert await get(f"https://a.example:{port}/ok") == b"hi"
        assert (resolved, hosts) == (["a.example"], [f"Host: a.example:{port}"])
        for path in ("/moved", "/long", "/gone"):
            with pytest.raises(UnreachableError):
                await get(f"https://a.example:{port}{path}")
        assert resolved == ["a.example"] * 4
        with pytest.raises(UnreachableError):  # its certificate is another's
            await get(f"https://b.example:{port}/ok")


ANSWERS = {
    "/taken": b"HTTP/1.1 204 No Content\r\n\r\n",
    "/moved": b"HTTP/1.1 307 Moved\r\nLocation: /taken\r\nContent-Length: 0\r\n\r\n",
    "/endless": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000,
    "/broken": b"HTTP/1.1 ",
    "/hangs": b"",
}


async def test_a_post_goes_where_its_name_first_led_follows_nothing_and_reads_but_the_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shows, trusts = _certified(tmp_path, "a.example")
    asked: list[tuple[str, bytes]] = []
    ending = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ")[1]
        asked.append((path, await reader.readexactly(2)))
        writer.write(ANSWERS[path])
        if path in ("/endless", "/hangs"):
            await ending.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=shows)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setattr(outside, "is_public", lambda address: str(address) == "127.0.0.1")
    leads = iter(["127.0.0.1", "127.0.0.2"])

    async def rebinds(_: str, __: int) -> list[str]:
        return [next(leads)]

    async def stays(_: str, __: int) -> list[str]:
        return ["127.0.0.1"]

    there = f"https://a.example:{port}"
    async with server:
        assert await _post(Outside(rebinds, trusts), f"{there}/taken") == 204
        assert next(leads) == "127.0.0.2", "it was resolved once"
        staying = Outside(stays, trusts)
        assert [await _post(staying, there + path) for path in ("/moved", "/endless")] == [307, 200]
        assert [path for path, _ in asked] == ["/taken", "/moved", "/endless"]
        with pytest.raises(UnreachableError, match="the connection broke before an answer"):
            await _post(staying, f"{there}/broken")
        with pytest.raises(UnreachableError, match="no answer in time"):
            await _post(staying, f"{there}/hangs", 0.05)
        with pytest.raises(UnreachableError, match="its certificate doesn't hold"):
            await _post(staying, f"https://b.example:{port}/taken")
        with pytest.raises(UnreachableError, match="its certificate doesn't hold"):
            await _post(Outside(stays, TRUST), f"{there}/taken")
        ending.set()
    with pytest.raises(UnreachableError, match="nothing takes connections there"):
        await _post(staying, f"{there}/taken")
    assert {body for _, body in asked} == {b"{}"}


@pytest.mark.parametrize("url", ["https://nowhere.invalid/", "https://a..example/", f"https://{'a' * 64}.example/"])
async def test_a_name_that_nobody_knows_is_unreachable(url: str) -> None:
    with pytest.raises((UnreachableError, RefusedError)):
        await _post(Outside(trust=TRUST), url)


async def test_only_hosts_that_are_named_may_be_private_and_spoken_to_by_http() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWERS["/taken"])
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await _post(Outside(trust=TRUST, hosts=["127.0.0.1"]), f"http://127.0.0.1:{port}/x") == 204
        assert await _post(Outside(trust=TRUST, hosts=["localhost"]), f"http://localhost:{port}/x") == 204
        for host in ("127.0.0.2", "127.1", "localhost"):
            with pytest.raises(RefusedError):
                await _post(Outside(trust=TRUST, hosts=["127.0.0.1"]), f"http://{host}:{port}/x")
