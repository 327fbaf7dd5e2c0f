"""Runs phxload, the load generator for websockets, on the core for load."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from tests.benchmarks.benchmark import BenchmarkError
from tests.benchmarks.context import BenchmarkContext
from tests.benchmarks.machine import LOAD_CORE, pinned
from tests.benchmarks.servers import Running

RUN_TIMEOUT_S = 120.0


def load(context: BenchmarkContext, server: Running, arguments: Sequence[object]) -> dict[str, Any]:
    """Run phxload once. Returns its result.

    Raises:
        BenchmarkError: a reply or a broadcast was wrong or missing; the text has the output.
    """
    return finished(command(context, server, arguments))


def command(context: BenchmarkContext, server: Running, arguments: Sequence[object]) -> list[str]:
    """The command line of phxload."""
    own = [str(context.tools.phxload), *map(str, arguments)]
    return pinned([*own, "-p", str(server.port), "--pid", str(server.pid)], LOAD_CORE)


def finished(command: Sequence[str]) -> dict[str, Any]:
    """Run a load generator to its end. Returns the JSON that it prints.

    Raises:
        BenchmarkError: it failed; the text has its output.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own command line
            command, capture_output=True, text=True, check=False, timeout=RUN_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(
            f"{' '.join(command)} did not finish within {RUN_TIMEOUT_S:.0f} s"
        ) from error
    if done.returncode != 0:
        raise BenchmarkError(f"{' '.join(command)} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@contextmanager
def background(
    context: BenchmarkContext, server: Running, arguments: Sequence[object], *, settled_s: float
) -> Iterator[None]:
    """Run phxload in the background while the block runs.

    Args:
        settled_s: how long to wait until it is running.

    Raises:
        BenchmarkError: it ended before the block; the text has its output.
    """
    with tempfile.TemporaryFile() as output:
        own = command(context, server, arguments)
        run = subprocess.Popen(own, stdout=output, stderr=output)  # noqa: S603 - our own command line
        try:
            time.sleep(settled_s)
            yield
            if run.poll() is not None:
                output.seek(0)
                text = output.read().decode(errors="replace")
                raise BenchmarkError(f"{' '.join(own)} ended too early:\n{text}")
        finally:
            run.kill()
            run.wait()


def load_fresh(
    context: BenchmarkContext, server: AbstractContextManager[Running], arguments: Sequence[object]
) -> dict[str, Any]:
    """Run phxload once against a new server, so that memory use is not inherited."""
    with server as one:
        return load(context, one, arguments)
