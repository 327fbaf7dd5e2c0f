"""The machine that runs the benchmarks: its facts, its two cores and its limits."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks.benchmark import BenchmarkError

SERVER_CORE, LOAD_CORE = 0, 1
ROOT = Path(__file__).parents[2]


def facts() -> dict[str, Any]:
    """Facts that the results depend on, for every JSON line."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "aiohttp": version("aiohttp"),
        "sqlite": sqlite3.sqlite_version,
        "commit": _commit(),
    }


def pinned(command: Sequence[str], core: int) -> list[str]:
    """The command, pinned to one core.

    Raises:
        BenchmarkError: taskset is not installed, or this core is not available.
    """
    if shutil.which("taskset") is None:
        raise BenchmarkError("taskset is not installed; on Debian: apt-get install util-linux")
    if core not in os.sched_getaffinity(0):
        raise BenchmarkError(
            f"core {core} is not available: the server needs core 0 and the load generator core 1"
        )
    return ["taskset", "-c", str(core), *command]


def raise_open_file_limit(needed: int) -> None:
    """Raise the limit of open files for this process and its children.

    Raises:
        BenchmarkError: the limit is too low and cannot be raised.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(hard, needed)))
    except (ValueError, OSError) as error:
        raise BenchmarkError(
            f"{needed} open files are needed, but only {hard} are allowed; "
            f'raise the limit ("ulimit -n {needed}" as root), or leave out this benchmark'
        ) from error


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    command = [git, "-C", str(ROOT), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command line
    return done.stdout.strip() or None
