"""Decides how deploy/stack.toml is read: which parts run, and where."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).parent.parent / "deploy" / "stack.toml"


@dataclass(frozen=True)
class Part:
    name: str
    app: str
    port: int
    schema: str
    hears: tuple[str, ...]
    asks: tuple[str, ...]


@cache
def parts() -> dict[str, Part]:
    """Every part by its name."""
    rows = tomllib.loads(FILE.read_text())
    return {
        name: Part(name, row["app"], row["port"], row["schema"], tuple(row["hears"]), tuple(row["asks"]))
        for name, row in rows.items()
    }


def schemas() -> list[str]:
    return [part.schema for part in parts().values()]
