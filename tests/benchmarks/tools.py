"""Compiles the C programs of the benchmarks."""

from __future__ import annotations

import shutil
import subprocess
from functools import cached_property
from pathlib import Path

from tests.benchmarks.benchmark import BenchmarkError
from tests.benchmarks.machine import ROOT

DEFAULT_FOLDER = ROOT.parent / "shared" / "bench"
_HTTPLOAD = Path(__file__).parent.joinpath("loads", "httpload.c")


class Tools:
    """Compiles each program when its path is first read. Every property is a path.

    Raises:
        BenchmarkError: gcc or the source is missing, or the source does not compile.
    """

    def __init__(self, sources: Path, into: Path) -> None:
        self._sources = sources
        self._into = into

    @cached_property
    def phxload(self) -> Path:
        """The load generator for websockets."""
        return self._compiled(self._external("phxload.c"), "-lm")

    @cached_property
    def wslimit(self) -> Path:
        """The minimal C server, the baseline for websockets."""
        return self._compiled(self._external("wslimit.c"))

    @cached_property
    def httpload(self) -> Path:
        """Our load generator for HTTP."""
        return self._compiled(_HTTPLOAD)

    def _external(self, name: str) -> Path:
        source = self._sources / name
        if not source.is_file():
            raise BenchmarkError(
                f"{source} does not exist; pass the folder with {name}: make bench BENCH=FOLDER"
            )
        return source

    def _compiled(self, source: Path, *libraries: str) -> Path:
        gcc = shutil.which("gcc")
        if gcc is None:
            raise BenchmarkError("gcc is not installed; on Debian: apt-get install gcc libc6-dev")
        program = self._into / source.stem
        command = [gcc, "-O2", "-o", str(program), str(source), *libraries]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command line
        if done.returncode != 0:
            raise BenchmarkError(f"{source} does not compile:\n{done.stderr}")
        return program
