"""Decides how much of a file is read to find out what it is: its ends, and what they point to."""

import os
import re
from collections.abc import Iterator
from typing import BinaryIO

WINDOW = 256 * 1024
STEP = 1024 * 1024
OVERLAP = 1024


class Source:
    """A file that is looked at from both ends."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size = file.seek(0, os.SEEK_END)
        self.head = self.at(0, WINDOW)
        self.tail = self.at(max(0, self.size - WINDOW), WINDOW)

    def at(self, offset: int, length: int) -> bytes:
        """Up to so many bytes from there; fewer at the end."""
        self.file.seek(offset)
        return self.file.read(length)

    def steps(self) -> Iterator[tuple[int, bytes]]:
        """All of it, piece by piece with where each begins; what stands across two pieces is whole in the second."""
        for offset in range(0, self.size, STEP):
            begin = max(0, offset - OVERLAP)
            yield begin, self.at(begin, offset - begin + STEP)

    def holds(self, pattern: re.Pattern[bytes]) -> bool:
        """Whether either end does."""
        return bool(pattern.search(self.head) or pattern.search(self.tail))
