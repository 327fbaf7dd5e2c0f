"""What a benchmark needs to run: the load generators, a folder and the size of the run."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
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


def python_of(checkout: Path) -> Path:
    """The interpreter of a checkout in which `make` has set everything up."""
    return checkout / ".venv" / "bin" / "python"


@dataclass(slots=True)
class BenchmarkContext:
    """The programs, a folder for data, and the size of the run.

    Attributes:
        disk: the folder for databases; the speed of its disk affects the results.
        is_quick: use small numbers, which show only that the benchmarks work.
        checkout: the folder of another version of this project, whose server is measured; None
            measures this one.
    """

    tools: Programs
    disk: Path
    seed: int = 1
    is_quick: bool = False
    checkout: Path | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def python(self) -> str:
        """The interpreter that runs our server, with the packages of its checkout."""
        return sys.executable if self.checkout is None else str(python_of(self.checkout))

    def of(self, checkout: Path) -> BenchmarkContext:
        """The same for the server of another checkout."""
        return replace(self, checkout=checkout)

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
