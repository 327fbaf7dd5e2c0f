"""What a benchmark needs to run: the load generators, a folder and the size of the run."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class Programs(Protocol):
    """The load generators and the C server; see `tools`."""

    @property
    def phxload(self) -> Path:
        """The load generator for websockets."""
        ...

    @property
    def wslimit(self) -> Path:
        """The C server."""
        ...

    @property
    def httpload(self) -> Path:
        """The load generator for HTTP."""
        ...


@dataclass(slots=True)
class BenchmarkContext:
    """The programs, a folder for data, and the size of the run.

    Attributes:
        disk: the folder for databases; the speed of its disk affects the results.
        is_quick: use small numbers, which show only that the benchmarks work.
    """

    tools: Programs
    disk: Path
    seed: int = 1
    is_quick: bool = False
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def count(self, thorough: int) -> int:
        """The count, or a tenth of it for a quick run."""
        return max(thorough // 10, 1) if self.is_quick else thorough

    def seconds(self, thorough: float) -> float:
        """The duration in seconds, or a tenth of it for a quick run."""
        return thorough / 10 if self.is_quick else thorough

    def new_folder(self) -> Path:
        """Create an empty folder for the data of one server."""
        folder = self.disk / f"run-{next(self._numbers)}"
        folder.mkdir()
        return folder
