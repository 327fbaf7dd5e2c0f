"""Tasks from the POST to the picture, through worker and emulator, and how soon a server serves."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.loads import task_client
from tests.benchmarks.rig import Rig
from tests.benchmarks.servers import (
    Running,
    Serve,
    bench_app,
    free_port,
    reference_set,
    running,
    task_server,
)
from tests.benchmarks.work import Measure, Sample, Target, Work

_TASKS = 200
_BARE = """
import sys
from aiohttp import web
app = web.Application()
app.router.add_get("/", lambda request: web.Response())
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""


def tasks_a_second(rig: Rig) -> Sample:
    """From the first POST until the last task is completed, by a model that takes no time.

    Each task is a create, looks at the prediction, a picture drawn, fetched and kept, and about
    eight commits; the emulator works in the server's process and on its core.
    """
    count = rig.count(_TASKS)
    with bench_app("hurried")(rig) as server:
        begin_s = time.perf_counter()
        for _ in range(count):
            task_client.post(server)
        task_client.wait_until_ended(server)
        elapsed_s = time.perf_counter() - begin_s
    return Sample(count / elapsed_s, {"tasks": count, "seconds": round(elapsed_s, 3)})


def _start_ms(serve: Serve) -> Measure:
    """From the command to the first connection that is accepted."""

    def measure(rig: Rig) -> Sample:
        with serve(rig) as server:
            return Sample(server.started_in_s * 1_000)

    return measure


@contextmanager
def _bare(_rig: Rig) -> Iterator[Running]:
    port = free_port()
    with running([sys.executable, "-c", _BARE, str(port)], port) as server:
        yield server


def _start(name: str, serve: Serve, target: Target | None = None) -> Work:
    return Work(
        name=name,
        unit="ms",
        ours=_start_ms(serve),
        ruler=_start_ms(_bare),
        ruler_name="bare aiohttp",
        target=target,
    )


WORKSHOP = (Work(name="tasks through worker and emulator", unit="/s", ours=tasks_a_second),)

STARTUP = (
    _start("start-up, reference channel set", reference_set),
    _start("start-up, task server", task_server),
)
