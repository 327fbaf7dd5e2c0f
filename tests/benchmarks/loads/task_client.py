"""A plain client of the API of tasks, for works that are not about its speed."""

from __future__ import annotations

import time

from tests.benchmarks.loads.http_client import asked
from tests.benchmarks.servers import Running
from tests.benchmarks.work import BenchError

PAGE = 200
_PATIENCE_S = 60.0


def post(server: Running) -> str:
    """Order a picture; the task's id."""
    body = {"input_data": {"type": "image", "prompt": "Medieval monk"}}
    return str(asked(server, "/api/tasks", body)["task_id"])


def ended(server: Running) -> int:
    """How many tasks are completed; up to one page of them.

    Raises:
        BenchError: a task failed.
    """
    if failed := asked(server, "/api/tasks?status=failed&limit=1")["tasks"]:
        raise BenchError(f"a task failed: {failed[0]['error_data']}")
    return len(asked(server, f"/api/tasks?status=completed&limit={PAGE}")["tasks"])


def wait_until_ended(server: Running) -> None:
    """Wait until no task is under way.

    Raises:
        BenchError: a task failed, or they do not end.
    """
    deadline_s = time.monotonic() + _PATIENCE_S
    while asked(server, "/api/tasks?status=processing&limit=1")["tasks"]:
        if time.monotonic() > deadline_s:
            raise BenchError(f"there are unfinished tasks after {_PATIENCE_S:.0f} s")
        time.sleep(0.05)
    ended(server)
