"""Decides what a container of docker-compose.yml does: makes a password, prepares the database, or is one part."""

import http.client
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

# Where a part keeps its own; in the container that prepares, where the whole stack's secrets are.
HOME = Path("/var/lib/mops")
# Each part's HOME, as the container that prepares sees it.
PARTS = Path("/var/lib/mops-parts")
# Read by Postgres at its first start, and by the container that prepares.
PASSWORD = Path("/var/lib/mops-postgres/password")
SETTINGS = "settings.json"


def make_password() -> int:
    """The password of Postgres's superuser, unless there is one."""
    if not PASSWORD.exists():
        unfinished = PASSWORD.with_suffix(".new")
        unfinished.write_text(secrets.token_urlsafe(24))
        unfinished.chmod(0o600)
        unfinished.replace(PASSWORD)
    return 0


def prepare_all() -> int:
    """Roles, migrations and the demo workspace; then hands each part its own settings, which no other part sees."""
    from chassis import stack
    from deploy import credentials
    from deploy.home import Home
    from deploy.local import private
    from deploy.postgres import dsn
    from deploy.prepare import prepare

    admin_dsn = dsn.with_login(os.environ["DATABASE_URL"], "mops", PASSWORD.read_text())
    made = credentials.ensure(Home(HOME))
    code = prepare(admin_dsn, made, None, lambda part: private(part, made, admin_dsn), lambda name: PARTS / name)
    if code == 0:
        for part in stack.parts().values():
            Home(PARTS / part.name).write(SETTINGS, private(part, made, admin_dsn))
    return code


def serve_part(name: str) -> int:
    """One part, on the port that its neighbours look for it at."""
    from chassis import stack
    from deploy.home import Home
    from deploy.local import Address, serve

    own = Home(HOME).read(SETTINGS)
    if own is None:
        print(f"{name} has no settings yet: the container that prepares makes them", file=sys.stderr)
        return 1
    return serve(stack.parts()[name], Address.from_environment(), os.environ | own | {"MOPS_HOME": str(HOME)})


def ask_health() -> int:
    """Whether the part in this container is ready."""
    from chassis import stack

    name = os.environ["MOPS_PART"]
    link = http.client.HTTPConnection("127.0.0.1", int(os.environ["MOPS_PORT"]) + stack.parts()[name].port, timeout=4)
    link.request("GET", "/readyz")
    return link.getresponse().status != http.client.OK


COMMANDS: dict[str, Callable[[], int]] = {
    "password": make_password,
    "prepare": prepare_all,
    "serve": lambda: serve_part(os.environ["MOPS_PART"]),
    "health": ask_health,
}

if __name__ == "__main__":
    sys.exit(COMMANDS[sys.argv[1]]())
