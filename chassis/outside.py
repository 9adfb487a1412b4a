"""Decides what of the outside a part may reach by itself: https at public addresses, nothing of its own network."""

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable
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


async def _resolve(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, proto=6)
    return [str(address[0]) for *_, address in found]


class Outside:
    """Gets small public documents. A name is resolved once, and the connection goes to the very address that was
    looked at, so that a name that changes in between leads nowhere else; redirects aren't followed."""

    def __init__(self, resolve: Resolve = _resolve, trust: ssl.SSLContext | None = None) -> None:
        self._resolve = resolve
        self._trust = trust or ssl.create_default_context()

    async def get(self, url: str) -> bytes:
        """What stands there; RefusedError where nobody should go, UnreachableError for anything but a short 200."""
        try:
            place = httpx.URL(url)
        except httpx.InvalidURL:
            raise RefusedError("this is no URL") from None
        if place.scheme != "https" or place.userinfo or not HOST.fullmatch(place.raw_host):
            raise RefusedError("only https is fetched")
        try:
            async with asyncio.timeout(SECONDS):
                address = await self._address(place)
                return await self._fetch(place, address)
        except (OSError, httpx.HTTPError, TimeoutError) as problem:
            raise UnreachableError(type(problem).__name__) from problem

    async def _address(self, place: httpx.URL) -> str:
        found = await self._resolve(place.host, place.port or 443)
        # One that isn't public makes the name suspect, whatever the others are.
        if not found or not all(is_public(ip_address(each.partition("%")[0])) for each in found):
            raise RefusedError("the name leads to an address that isn't public")
        return found[0]

    async def _fetch(self, place: httpx.URL, address: str) -> bytes:
        pinned = place.copy_with(host=address)
        headers = {"Host": place.netloc.decode("ascii"), "Accept-Encoding": "identity"}
        client = httpx.AsyncClient(verify=self._trust, trust_env=False, follow_redirects=False)
        async with client, client.stream(
            "GET", pinned, headers=headers, extensions={"sni_hostname": place.host}
        ) as answer:  # fmt: skip
            if answer.status_code != 200:
                raise UnreachableError(f"it answered {answer.status_code}")
            body = b""
            async for piece in answer.aiter_raw():
                body += piece
                if len(body) > MOST_BYTES:
                    raise UnreachableError("it is too long")
            return body
