"""Decides what of the outside a part may reach by itself: https at public addresses, nothing of its own network."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx

MOST_BYTES = 64_000
SECONDS = 8.0
HOST = re.compile(rb"[A-Za-z0-9_.:-]{1,253}")
# Not private by ipaddress's tables of every version, and yet no place of somebody else's: relays into other networks,
# examples, what is for protocols alone.
_KEPT_BACK = tuple(
    map(
        ip_network,
        ("192.88.99.0/24", "192.0.0.0/24", "198.18.0.0/15", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
)
_UNICAST = ip_network("2000::/3")

Resolve = Callable[[str, int], Awaitable[list[str]]]


@dataclass(frozen=True)
class Answered:
    """All that is kept of what a post was answered."""

    status: int
    retry_after: str | None = None


class UnreachableError(Exception):
    """It can't be reached now, or didn't answer as it should: another time it may."""


class RefusedError(Exception):
    """It is no place to go to, whenever: not https, or not a public address."""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is some host's on the public internet, and doesn't wrap another one."""
    if any(address in network for network in _KEPT_BACK if network.version == address.version):
        return False
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return False
    return address.is_global and not address.is_multicast


# So that names which nobody answers for keep no thread from anything else, nor from other names: twice as many as a
# process posts to at a time, as a look at a name goes on where the post was given up.
_NAMES = ThreadPoolExecutor(512, "names")


async def _resolve(host: str, port: int) -> list[str]:
    # As bytes, which Python leaves as they are: it would read other names into some texts than httpx does.
    asked = partial(socket.getaddrinfo, host.encode("ascii"), port, proto=socket.IPPROTO_TCP)
    found = await asyncio.get_running_loop().run_in_executor(_NAMES, asked)
    return [str(address[0]) for *_, address in found]


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host is by itself, in any way of writing one that a resolver takes for one."""
    host = host.rstrip(".")
    with suppress(ValueError):
        return ip_address(host.partition("%")[0])
    with suppress(OSError):
        return IPv4Address(socket.inet_aton(host))
    return None


class Outside:
    """Gets small public documents, and posts to public places. A name is resolved once, and the connection goes to the
    very address that was looked at, so that a name that changes in between leads nowhere else; redirects aren't
    followed. `hosts` are names and addresses that may be reached though private, and by http."""

    def __init__(
        self, resolve: Resolve = _resolve, trust: ssl.SSLContext | None = None, hosts: Collection[str] = ()
    ) -> None:
        self._resolve = resolve
        self._trust = trust or ssl.create_default_context()
        self._hosts = frozenset(hosts)

    def check(self, url: str) -> None:
        """RefusedError where nobody should go, as far as the URL says by itself: a name may lead anywhere later."""
        self._place(url)

    async def get(self, url: str) -> bytes:
        """What stands there; RefusedError where nobody should go, UnreachableError for anything but a short 200."""
        async with self._asked("GET", url, {}, b"", SECONDS) as answer:
            if answer.status_code != 200:
                raise UnreachableError(f"it answered {answer.status_code}")
            body = b""
            async for piece in answer.aiter_raw():
                body += piece
                if len(body) > MOST_BYTES:
                    raise UnreachableError("it is too long")
            return body

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> Answered:
        """The status of what is answered within so many seconds, whatever it is, and when to come back; nothing else of
        it is read."""
        async with self._asked("POST", url, headers, body, seconds) as answer:
            return Answered(answer.status_code, answer.headers.get("Retry-After"))

    def _place(self, url: str) -> httpx.URL:
        try:
            place = httpx.URL(url)
        except httpx.InvalidURL:
            raise RefusedError("this is no URL") from None
        if place.userinfo or not HOST.fullmatch(place.raw_host):
            raise RefusedError("a URL without a name or an address of a host, or with a user's name")
        if place.port is not None and not 0 < place.port < 2**16:
            raise RefusedError("a URL with a port that there is none of")
        if _host(place) in self._hosts:
            if place.scheme not in ("https", "http"):
                raise RefusedError("only https and http are spoken there")
            return place
        if place.scheme != "https":
            raise RefusedError("only https is spoken")
        literal = _literal(_host(place))
        if literal is not None and not is_public(literal):
            raise RefusedError("this address isn't public")
        return place

    @asynccontextmanager
    async def _asked(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> AsyncIterator[httpx.Response]:
        place = self._place(url)
        try:
            async with asyncio.timeout(seconds):
                address = await self._address(place)
                pinned = place.copy_with(host=address)
                sent = {**headers, "Host": place.netloc.decode("ascii"), "Accept-Encoding": "identity"}
                # A client for each: what is broken off leaves nothing behind, and a connection was opened for one name.
                client = httpx.AsyncClient(verify=self._trust, trust_env=False, follow_redirects=False, timeout=seconds)
                async with client, client.stream(
                    method, pinned, headers=sent, content=body or None, extensions={"sni_hostname": _host(place)}
                ) as answer:  # fmt: skip
                    yield answer
        except (OSError, httpx.HTTPError, UnicodeError) as problem:  # TimeoutError is an OSError
            raise UnreachableError(_words(problem)) from problem

    async def _address(self, place: httpx.URL) -> str:
        found = await self._resolve(_host(place), place.port or (443 if place.scheme == "https" else 80))
        if _host(place) in self._hosts and found:
            return found[0]
        # One that isn't public makes the name suspect, whatever the others are.
        if not found or not all(is_public(ip_address(each.partition("%")[0])) for each in found):
            raise RefusedError("the name leads to an address that isn't public")
        return found[0]


def _host(place: httpx.URL) -> str:
    """As it goes over the wire."""
    return place.raw_host.decode("ascii")


def _words(problem: Exception) -> str:
    """Why there is no answer; in words of our own, as others' may quote what is on the way."""
    if isinstance(problem, TimeoutError):
        return "no answer in time"
    if isinstance(problem, socket.gaierror | UnicodeError):
        return "nobody knows its name"
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "its certificate doesn't hold, or it speaks no TLS"
        cause = cause.__cause__ or cause.__context__
    if isinstance(problem, httpx.ConnectError):
        return "nothing takes connections there"
    return "the connection broke before an answer"
