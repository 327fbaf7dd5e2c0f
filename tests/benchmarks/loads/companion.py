"""Runs a Python program beside a server while a block runs, and ends it with the block."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from tests.benchmarks.benchmark import BenchmarkError
from tests.benchmarks.machine import LOAD_CORE, pinned

_END_S: Final = 30.0


@contextmanager
def companion(module: str, *arguments: object) -> Iterator[None]:
    """Run `python -m MODULE ARGUMENTS`; entered when it prints a line, which says that it works.

    It must end when its standard input ends, so that it never outlives what started it.

    Raises:
        BenchmarkError: it ended before the block; the text has its output.
    """
    command = pinned([sys.executable, "-m", module, *map(str, arguments)], LOAD_CORE)
    with tempfile.TemporaryFile() as errors:
        program = subprocess.Popen(  # noqa: S603 - our own command line
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
        assert program.stdin is not None
        assert program.stdout is not None
        try:
            is_working = bool(program.stdout.readline())
            if is_working:
                yield
            if not is_working or program.poll() is not None:
                errors.seek(0)
                text = errors.read().decode(errors="replace")
                raise BenchmarkError(f"{_line(command)} ended too early:\n{text}")
        finally:
            program.stdin.close()
            try:
                program.wait(_END_S)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
            program.stdout.close()


def _line(command: Sequence[str]) -> str:
    return " ".join(command)
