"""Decides which secrets a local stack has; each is made once and kept in MOPS_HOME."""

import base64
import secrets
from dataclasses import dataclass, field
from typing import Any

from chassis import stack
from deploy.home import Home

OPERATOR, PLATFORM = "operator", ["platform:read", "platform:write"]
DEMO_ROLES = ("admin", "manager", "specialist", "contributor", "stakeholder")


@dataclass(frozen=True)
class Credentials:
    # Nothing below is ever printed, but for the name.
    stack: str  # stands before every role's name, as roles belong to the whole server
    database: dict[str, str] = field(repr=False)  # schema -> password of its login role
    secret_key: str = field(repr=False)
    services: dict[str, dict[str, Any]] = field(repr=False)  # part, or operator -> its account
    clients: dict[str, dict[str, Any]] = field(repr=False)  # name -> an API client of one of two workspaces

    @property
    def service_secrets(self) -> dict[str, str]:
        return {name: account["client_secret"] for name, account in self.services.items()}


def ensure(home: Home) -> Credentials:
    made = home.read("secrets.json") or _keep(home, "secrets.json", _new_secrets())
    services = home.read("services.json") or {}
    asked = {part.name: list(part.asks) for part in stack.parts().values()} | {OPERATOR: PLATFORM}
    wanted = {
        name: {
            "client_id": name if name == OPERATOR else f"service:{name}",
            "client_secret": services[name]["client_secret"] if name in services else _new_client_secret(),
            "scopes": scopes,
        }
        for name, scopes in asked.items()
    }
    if wanted != services:
        _keep(home, "services.json", wanted)
    clients = home.read("clients.json") or _keep(home, "clients.json", _new_clients())
    return Credentials(
        stack=made["stack"],
        database=made["database"],
        secret_key=made["secret_key"],
        services=wanted,
        clients=clients,
    )


def _keep(home: Home, name: str, value: dict[str, Any]) -> dict[str, Any]:
    home.write(name, value)
    return value


# Each import below is slow, and only the first start on a MOPS_HOME needs it.


def _new_secrets() -> dict[str, Any]:
    return {
        "stack": f"mops_{secrets.token_hex(3)}",
        "database": {schema: secrets.token_urlsafe(24) for schema in stack.schemas()},
        "secret_key": base64.b64encode(secrets.token_bytes(32)).decode(),
    }


def _new_client_secret() -> str:
    from gateway.identity.client.rules import new_client_secret

    return new_client_secret()


def _new_clients() -> dict[str, dict[str, Any]]:
    from chassis.fields import new_id

    demo, other = str(new_id()), str(new_id())
    named = {f"demo-{role}": (demo, role) for role in DEMO_ROLES} | {"other-admin": (other, "admin")}
    return {
        name: {
            "workspace_id": workspace,
            "client_id": str(new_id()),
            "client_secret": _new_client_secret(),
            "roles": [role],
        }
        for name, (workspace, role) in named.items()
    }
