"""ASGI: one uvicorn with channels, compared to a bare websocket of Starlette and to Socket.IO.

All run on the same uvicorn, without compression. The figure is messages per second of the server's
processor time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from tests.benchmarks.benchmark import Benchmark, BenchmarkError, Sample, Target
from tests.benchmarks.context import BenchmarkContext
from tests.benchmarks.loads.load import load_fresh
from tests.benchmarks.loads.text_load import (
    Phoenix,
    SocketIO,
    WireProtocol,
    deliveries_per_cpu_second,
    echoes_per_cpu_second,
)
from tests.benchmarks.servers import Running, free_port, running

_UNIT = "msg/cpu s"


@contextmanager
def _uvicorn(app: str) -> Iterator[Running]:
    if app == "socket_io" and find_spec("socketio") is None:
        raise BenchmarkError("python-socketio is not installed: pip install python-socketio")
    port = free_port()
    target = ["--factory", f"tests.benchmarks.asgi_apps:{app}", "--port", str(port)]
    flags = ["--log-level", "critical", "--no-access-log", "--ws-per-message-deflate", "false"]
    with running([sys.executable, "-m", "uvicorn", *target, *flags], port) as server:
        yield server


def _phxload(app: str, *arguments: object) -> Callable[[BenchmarkContext], Sample]:
    def measure(context: BenchmarkContext) -> Sample:
        found = load_fresh(context, _uvicorn(app), arguments)
        return Sample(1e6 / float(found["server_cpu_us_per_op"]), found)

    return measure


def _text(
    app: str,
    protocol: WireProtocol,
    measured: Callable[[int, int, WireProtocol, int], float],
    count: int,
) -> Callable[[BenchmarkContext], Sample]:
    def measure(context: BenchmarkContext) -> Sample:
        with _uvicorn(app) as server:
            return Sample(measured(server.port, server.pid, protocol, context.count(count)))

    return measure


_ECHO = ("echo", "-n", 100, "-d", 2, "--warmup", 0.5)
_FANOUT = ("fanout", "-n", 200, "-P", 64, "-w", 4, "-m", 400)

ASGI = (
    Benchmark(
        name="ASGI echo, beside bare Starlette",
        unit=_UNIT,
        ours=_phxload("ours", *_ECHO),
        baseline=_phxload("bare", *_ECHO),
        baseline_name="Starlette",
        target=Target(min_ratio=0.8),
    ),
    Benchmark(
        name="ASGI fan-out to 200, beside bare Starlette",
        unit=_UNIT,
        ours=_phxload("ours", *_FANOUT),
        baseline=_phxload("bare", *_FANOUT),
        baseline_name="Starlette",
        target=Target(min_ratio=0.8),
    ),
    Benchmark(
        name="ASGI echo, beside Socket.IO",
        unit=_UNIT,
        ours=_text("ours", Phoenix(), echoes_per_cpu_second, 20_000),
        baseline=_text("socket_io", SocketIO(), echoes_per_cpu_second, 20_000),
        baseline_name="Socket.IO",
        target=Target(min_ratio=2.0),
    ),
    Benchmark(
        name="ASGI fan-out to 100, beside Socket.IO",
        unit=_UNIT,
        ours=_text("ours", Phoenix(), deliveries_per_cpu_second, 30_000),
        baseline=_text("socket_io", SocketIO(), deliveries_per_cpu_second, 30_000),
        baseline_name="Socket.IO",
        target=Target(min_ratio=2.0),
    ),
)
"""Echo and fan-out on one uvicorn."""
