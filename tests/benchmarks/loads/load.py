"""Runs of the load generator of the sockets, on the load's core."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from tests.benchmarks.machine import LOAD_CORE, pinned
from tests.benchmarks.rig import Rig
from tests.benchmarks.servers import Running
from tests.benchmarks.work import BenchError

RUN_S = 120.0


def load(rig: Rig, server: Running, arguments: Sequence[object]) -> dict[str, Any]:
    """One run of phxload; what it found.

    Raises:
        BenchError: a reply or a broadcast was wrong or missing; with what it said.
    """
    return finished(command(rig, server, arguments))


def command(rig: Rig, server: Running, arguments: Sequence[object]) -> list[str]:
    """The command line of a run of phxload."""
    own = [str(rig.tools.phxload), *map(str, arguments)]
    return pinned([*own, "-p", str(server.port), "--pid", str(server.pid)], LOAD_CORE)


def finished(command: Sequence[str]) -> dict[str, Any]:
    """Run a load generator to its end; the JSON that it prints.

    Raises:
        BenchError: it failed; with what it said.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own command line
            command, capture_output=True, text=True, check=False, timeout=RUN_S
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{' '.join(command)} did not end in {RUN_S:.0f} s") from error
    if done.returncode != 0:
        raise BenchError(f"{' '.join(command)} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@contextmanager
def background(
    rig: Rig, server: Running, arguments: Sequence[object], *, settled_s: float
) -> Iterator[None]:
    """A run of phxload that goes on beside another; ended with the block.

    Args:
        settled_s: how long it takes until it is under way.

    Raises:
        BenchError: it ended before the block did; with what it said.
    """
    with tempfile.TemporaryFile() as said:
        own = command(rig, server, arguments)
        run = subprocess.Popen(own, stdout=said, stderr=said)  # noqa: S603 - our own command line
        try:
            time.sleep(settled_s)
            yield
            if run.poll() is not None:
                said.seek(0)
                text = said.read().decode(errors="replace")
                raise BenchError(f"{' '.join(own)} ended too early:\n{text}")
        finally:
            run.kill()
            run.wait()


def load_fresh(
    rig: Rig, server: AbstractContextManager[Running], arguments: Sequence[object]
) -> dict[str, Any]:
    """One run against a server of its own, so that none inherits another's memory."""
    with server as one:
        return load(rig, one, arguments)
