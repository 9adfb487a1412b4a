"""Decides what the tree is after somebody has followed docs/a-new-slice.md to the letter."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.architecture.test_tree import ROOT, tracked

PAGE = (ROOT / "docs" / "a-new-slice.md").read_text()
BLOCK = re.compile(r"^`([^`\n]+)`(?:, (before|after) `([^`\n]+)`)?\n\n```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A new file, or lines to add to one before or after the line that is named."""

    path: str
    side: str
    line: str
    text: str


def blocks() -> list[Block]:
    return [Block(*each) for each in BLOCK.findall(PAGE)]


def lines() -> int:
    """How many lines somebody writes, empty ones aside."""
    return sum(bool(line.strip()) for block in blocks() for line in block.text.splitlines())


def grow(tree: Path) -> list[Path]:
    """Copies what is tracked to `tree`, and does there what the page says; the files that are new."""
    for path in tracked():
        copy = tree / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    newest = max(path.stem for path in (tree / "services" / "goals" / "migrations").glob("goals_*.py"))
    following = f"goals_{int(newest.removeprefix('goals_')) + 1:04}"
    new = []
    for block in blocks():
        path = tree / block.path.replace("NEXT", following)
        text = block.text.replace("NEXT", following).replace("NEWEST", newest)
        if block.line:
            there, line = path.read_text(), f"{block.line}\n"
            assert there.count(line) == 1, f"{block.path}: {block.line}"
            path.write_text(there.replace(line, line + text if block.side == "after" else text + line))
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            new.append(path)
    return new
