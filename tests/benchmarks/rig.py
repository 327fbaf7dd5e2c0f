"""What a measurement has at hand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class Programs(Protocol):
    """The programs that make load; see `tools`."""

    @property
    def phxload(self) -> Path:
        """The load generator of the sockets."""
        ...

    @property
    def wslimit(self) -> Path:
        """The C server."""
        ...

    @property
    def httpload(self) -> Path:
        """The load generator of HTTP."""
        ...


@dataclass(slots=True)
class Rig:
    """The tools, a folder to write in, and how thorough to be.

    Attributes:
        disk: where databases are made; its disk is part of what is measured.
        is_quick: small numbers, that show that it works and nothing of how fast.
    """

    tools: Programs
    disk: Path
    seed: int = 1
    is_quick: bool = False
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def count(self, thorough: int) -> int:
        """So many, or a tenth of it."""
        return max(thorough // 10, 1) if self.is_quick else thorough

    def seconds(self, thorough: float) -> float:
        """So long, or a tenth of it."""
        return thorough / 10 if self.is_quick else thorough

    def new_folder(self) -> Path:
        """An empty folder for one server's data."""
        folder = self.disk / f"run-{next(self._numbers)}"
        folder.mkdir()
        return folder
