"""Decides how the stack under these receivers differs from `make up`: names lead where they are made to lead, one
address of this machine stands for a public one, and what a dead process had taken waits for a shorter time."""

import socket
import sys
from collections import Counter
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

from bench.receivers.places import BEHIND, NAMES, PUBLIC, REBINDS, literal_of
from chassis import outside, stack
from deploy import child, local

# As the product has it, a post ends before its lease does.
POST_SECONDS, LEASE = 3.0, timedelta(seconds=4)


def main() -> int:
    here: Any = local
    serve = here.serve

    def serve_led_astray(part: stack.Part, address: local.Address, variables: dict[str, str]) -> int:
        if part.name == "gateway":
            lead_astray()
        code: int = serve(part, address, variables)
        return code

    here.serve = serve_led_astray
    child.HEALTHY_AFTER = 0.5
    return local.main()


def lead_astray() -> None:
    """In this process, which is to be the gateway, names are looked up here."""
    from gateway.delivery import dispatcher, store

    dispatcher.POST_SECONDS, store.LEASE = POST_SECONDS, LEASE
    is_public, look_up, asked = outside.is_public, socket.getaddrinfo, Counter[str]()

    def stands_for_public(address: Any) -> bool:
        return address == ip_address(PUBLIC) or is_public(address)

    def looked_up(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        plain = name.lower().removesuffix(".")
        asked[plain] += 1
        if plain == REBINDS:  # the first look finds what may be, the next one what it is after
            found = [PUBLIC if asked[plain] % 2 else BEHIND]
        elif plain in NAMES:
            found = NAMES[plain]
        elif literal_of(plain) or "localhost" in plain or plain == socket.gethostname().lower():
            return look_up(host, port, *rest, **more)
        else:
            raise socket.gaierror(socket.EAI_NONAME, "nobody knows it")
        return [info for each in found for info in look_up(each, port, *rest, **more)]

    made: Any = outside
    made.is_public = stands_for_public
    made.socket.getaddrinfo = looked_up


if __name__ == "__main__":
    sys.exit(main())
