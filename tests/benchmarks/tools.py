"""The C programs of the benchmarks, compiled from their sources."""

from __future__ import annotations

import shutil
import subprocess
from functools import cached_property
from pathlib import Path

from tests.benchmarks.machine import ROOT
from tests.benchmarks.work import BenchError

DEFAULT_FOLDER = ROOT.parent / "shared" / "bench"
_HTTPLOAD = Path(__file__).parent.joinpath("loads", "httpload.c")


class Tools:
    """Compiles each program when it is first asked for.

    Every property is the path of a program.

    Raises:
        BenchError: gcc or the source is not there, or does not compile; says what to do.
    """

    def __init__(self, sources: Path, into: Path) -> None:
        self._sources = sources
        self._into = into

    @cached_property
    def phxload(self) -> Path:
        """The load generator of the sockets."""
        return self._compiled(self._external("phxload.c"), "-lm")

    @cached_property
    def wslimit(self) -> Path:
        """The C server: what the machine's sockets allow."""
        return self._compiled(self._external("wslimit.c"))

    @cached_property
    def httpload(self) -> Path:
        """The load generator of HTTP, our own."""
        return self._compiled(_HTTPLOAD)

    def _external(self, name: str) -> Path:
        source = self._sources / name
        if not source.is_file():
            raise BenchError(
                f"there is no {source}; name the folder that holds {name}: make bench BENCH=FOLDER"
            )
        return source

    def _compiled(self, source: Path, *libraries: str) -> Path:
        gcc = shutil.which("gcc")
        if gcc is None:
            raise BenchError("gcc is not installed; on Debian: apt-get install gcc libc6-dev")
        program = self._into / source.stem
        command = [gcc, "-O2", "-o", str(program), str(source), *libraries]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command line
        if done.returncode != 0:
            raise BenchError(f"{source} does not compile:\n{done.stderr}")
        return program
