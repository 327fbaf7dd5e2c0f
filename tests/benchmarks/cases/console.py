"""What an open console costs: the server's processor time for an echo with and without one.

One server with 2 000 joined clients and 1 000 tasks a minute answers echoes, again and again, first
without a console and then with one, which shows another screen in each round; every other time the
other way round. The figure is processor time, but on a machine with other work the server answers
fewer echoes, each of which then bears more of what the tasks cost. The second figure, the processor
time of six screens at once in each second in which nothing else happens, does not depend on that.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final

from tests.benchmarks.apps import ECHO_PATH
from tests.benchmarks.benchmark import Benchmark, Sample, Target
from tests.benchmarks.context import BenchmarkContext
from tests.benchmarks.loads.companion import companion
from tests.benchmarks.loads.console_viewer import SCREENS
from tests.benchmarks.loads.load import load
from tests.benchmarks.machine import raise_open_file_limit
from tests.benchmarks.servers import Running, comparison_app

SOCKETS: Final = 2_000
TASKS_PER_MINUTE: Final = 1_000

_ROUNDS: Final = 11
_SPARE_FILES: Final = 500
_LOADS: Final = "tests.benchmarks.loads"


@contextmanager
def busy_server(context: BenchmarkContext) -> Iterator[Running]:
    """A server with clients and tasks."""
    sockets = context.count(SOCKETS)
    raise_open_file_limit(sockets + _SPARE_FILES)
    with (
        comparison_app("watched")(context) as server,
        companion(f"{_LOADS}.joined_sockets", server.port, sockets),
        companion(f"{_LOADS}.steady_tasks", server.port, context.count(TASKS_PER_MINUTE)),
    ):
        yield server


def _cost_percent(context: BenchmarkContext) -> Sample:
    """By how many percent an open console makes an echo dearer, the median of the rounds."""
    echo = ["echo", "-n", 100, "--path", f"{ECHO_PATH}/websocket?vsn=2.0.0"]
    times = ["-d", context.seconds(3), "--warmup", context.seconds(1)]
    found_us: dict[bool, list[float]] = {False: [], True: []}
    with busy_server(context) as server:
        for number in range(2 if context.is_quick else _ROUNDS):
            screen = SCREENS[number % len(SCREENS)]
            for is_open in (False, True) if number % 2 == 0 else (True, False):
                console = companion(f"{_LOADS}.console_viewer", server.port, screen)
                with console if is_open else nullcontext():
                    found = load(context, server, [*echo, *times])
                found_us[is_open].append(float(found["server_cpu_us_per_op"]))
    closed_us, open_us = (statistics.median(found_us[is_open]) for is_open in (False, True))
    detail = {"closed_us": found_us[False], "open_us": found_us[True]}
    return Sample(100 * (open_us / closed_us - 1), detail)


def _ms_per_s(context: BenchmarkContext) -> Sample:
    """How many ms of processor time an open console takes in a second, the median of the rounds."""
    found_ms: dict[bool, list[float]] = {False: [], True: []}
    with busy_server(context) as server:
        for number in range(2 if context.is_quick else _ROUNDS):
            for is_open in (False, True) if number % 2 == 0 else (True, False):
                console = companion(f"{_LOADS}.console_viewer", server.port)
                with console if is_open else nullcontext():
                    began_s, cpu_s = time.monotonic(), _cpu_s(server)
                    time.sleep(context.seconds(3))
                    passed_s = time.monotonic() - began_s
                    found_ms[is_open].append(1_000 * (_cpu_s(server) - cpu_s) / passed_s)
    more_ms = [opened - closed for closed, opened in zip(*found_ms.values(), strict=True)]
    detail = {"closed_ms": found_ms[False], "open_ms": found_ms[True]}
    return Sample(statistics.median(more_ms), detail)


def _cpu_s(server: Running) -> float:
    """The processor time of the server so far, in seconds."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


CONSOLE: Final = (
    Benchmark(
        name="CPU of an echo, more with a console",
        unit="%",
        ours=_cost_percent,
        target=Target(max_value=5.0),
        digits=1,
    ),
    Benchmark(
        name="CPU of six open screens",
        unit="ms/s",
        ours=_ms_per_s,
        target=Target(max_value=50.0),
        digits=1,
    ),
)
