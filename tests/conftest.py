"""Decides which process runs which tests, and in which order."""

import gc
from importlib import import_module
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# Longest first.
LONG = ["contract", "stack", "architecture", "metrics", "budget"]


def pytest_configure(config: pytest.Config) -> None:
    """Whoever only hands tests to others needs none of the parts, which take all the others' time to import."""
    if config.getoption("dist") == "no":
        # What an import makes stays; it is looked through for garbage once, when all is imported.
        gc.disable()
        for plugin in ("chassis.testing", "tests.parts"):
            config.pluginmanager.register(import_module(plugin))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first, in whatever order: last, they would keep one process busy and the other idle."""
    items.sort(key=lambda item: LONG.index(item.path.parent.name) if item.path.parent.name in LONG else len(LONG))


def pytest_collection_finish() -> None:
    from chassis.serving import collect_seldom

    gc.enable()
    collect_seldom()


class FilledOnce(LoadScopeScheduling):  # type: ignore[misc]
    """A file's tests go to one process, and those of `contract` all: they share a workspace that takes long to fill."""

    def _split_scope(self, nodeid: str) -> str:
        scope: str = super()._split_scope(nodeid)
        return "tests/contract" if scope.startswith("tests/contract/") else scope


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilledOnce:
    return FilledOnce(config, log)
