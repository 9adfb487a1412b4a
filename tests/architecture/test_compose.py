"""The containers are the stack: docker-compose.yml and the Dockerfile say what deploy/stack.toml says."""

import json
from typing import Any

import pytest
import yaml

from chassis.stack import parts
from deploy import container
from tests.architecture.test_tree import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
PORT = 8000


def test_compose_runs_every_part_and_what_they_stand_on() -> None:
    assert set(SERVICES) == {*parts(), "password", "postgres", "prepare"}


@pytest.mark.parametrize("part", parts().values(), ids=str)
def test_a_part_s_container_is_that_part_at_its_port(part: Any) -> None:
    service, port = SERVICES[part.name], PORT + part.port
    assert service["environment"]["MOPS_PART"] == part.name
    assert service["environment"]["MOPS_PORT"] == str(PORT)
    assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert service["volumes"] == [f"{part.name}:{container.HOME}"], "its own settings, and nobody else's"
    urls = json.loads(service["environment"]["MOPS_URLS"])
    assert urls == {name: f"http://{name}:{PORT + row.port}" for name, row in parts().items()}


def test_what_prepares_can_hand_every_part_its_settings() -> None:
    mounted = {volume.split(":")[1] for volume in SERVICES["prepare"]["volumes"]}
    assert {str(container.PARTS / name) for name in parts()} <= mounted
    for name in parts():
        assert f"{container.PARTS.name}/{name}" in DOCKERFILE, "a volume over no folder would be root's"


def test_nothing_listens_beyond_this_machine() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(published) == len(parts())
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_no_secret_stands_in_the_files() -> None:
    named = {name for service in SERVICES.values() for name in service.get("environment", {})}
    assert {name for name in named if "PASSWORD" in name or "SECRET" in name} == {"POSTGRES_PASSWORD_FILE"}
    assert "@" not in SERVICES["prepare"]["environment"]["DATABASE_URL"]


def test_old_tools_can_read_them() -> None:
    """A top-level name and BuildKit's syntax are refused by what Debian ships."""
    assert "name" not in COMPOSE
    assert "--mount" not in DOCKERFILE
    assert "# syntax" not in DOCKERFILE
