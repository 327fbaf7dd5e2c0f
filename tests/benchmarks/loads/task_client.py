"""A plain client of the task API, for benchmarks that do not measure the API itself."""

from __future__ import annotations

import time

from tests.benchmarks.benchmark import BenchmarkError
from tests.benchmarks.loads.http_client import fetch_json
from tests.benchmarks.servers import Running

PAGE = 200
_TIMEOUT_S = 60.0


def post(server: Running, credential: str | None = None) -> str:
    """Post an image task. Returns its id."""
    body = {"input_data": {"type": "image", "prompt": "Medieval monk"}}
    return str(fetch_json(server, "/api/tasks", body, credential=credential)["task_id"])


def ended(server: Running, credential: str | None = None) -> int:
    """The number of completed tasks, at most one page.

    Raises:
        BenchmarkError: a task failed.
    """
    page = "/api/tasks?status=failed&limit=1"
    if failed := fetch_json(server, page, credential=credential)["tasks"]:
        raise BenchmarkError(f"a task failed: {failed[0]['error_data']}")
    page = f"/api/tasks?status=completed&limit={PAGE}"
    return len(fetch_json(server, page, credential=credential)["tasks"])


def wait_until_ended(server: Running, credential: str | None = None) -> None:
    """Wait until all tasks have ended.

    Raises:
        BenchmarkError: a task failed, or there are unfinished tasks after 60 s.
    """
    deadline_s = time.monotonic() + _TIMEOUT_S
    page = "/api/tasks?status=processing&limit=1"
    while fetch_json(server, page, credential=credential)["tasks"]:
        if time.monotonic() > deadline_s:
            raise BenchmarkError(f"there are unfinished tasks after {_TIMEOUT_S:.0f} s")
        time.sleep(0.05)
    ended(server, credential)
