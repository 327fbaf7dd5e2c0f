"""The metrics of a server with two processes, from whichever of them is asked."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.integration.metrics.exposed import Exposed
from tests.integration.multiprocess.multiprocess_harness import (
    MultiprocessServer,
    multiprocess_server,
)
from tests.patience import patient

COMMAND = ("-m", "phoenix_compat", "serve", "--port", "0")
PREFIX = "phoenix_compat_"


async def scraped(processes: MultiprocessServer, node: int) -> Exposed:
    """The exposition of one process."""
    client = await processes.connect(node)
    async with asyncio.timeout(patient(20.0)):
        answer = await client.request("GET", "/metrics", timeout_s=20.0)
    assert answer.status == 200
    return Exposed(answer.body.decode(), is_openmetrics=False)


async def test_each_process_shows_the_metrics_of_both(tmp_path: Path) -> None:
    """A socket and a request are counted once, where they were; tasks by the leader. A process
    that was killed and replaced is there again, and the other's counters have not changed."""
    config = tmp_path / "c.toml"
    config.write_text('data_dir = "data"\nemulator_speed = 20')
    command = (*COMMAND, "--config", str(config))
    async with multiprocess_server(*command, data_dir=tmp_path / "data") as processes:
        leader = await processes.leader()
        follower = 1 - leader
        wire = await processes.wire(follower)
        task_id = await processes.post(follower)
        await wire.join(f"task:{task_id}")
        watch = await processes.watch(leader, task_id)
        await watch.to_the_end()

        seen = [await scraped(processes, node) for node in (0, 1)]
        status, summary = await processes.request(follower, "GET", "/api/status")

        for found in seen:
            assert found.labels("process") == {"0", "1"}
            sockets = [found.total(f"{PREFIX}sockets", process=str(node)) for node in (0, 1)]
            assert sockets[follower] == 1
            assert found.values(f"{PREFIX}tasks_queued_total") == [1]
            assert found.value(f"{PREFIX}tasks", process=str(leader), status="completed") == 1
            posts = f"{PREFIX}http_requests_seconds_count"
            assert found.total(posts, method="POST") == 1
            assert found.value(posts, method="POST", process=str(follower)) == 1
            assert found.value(f"{PREFIX}scrape_missing_processes") == 0
        assert status == 200
        assert summary["processes"] == 2
        assert summary["tasks"]["completed"] == 1

        await processes.kill(leader)
        async with asyncio.timeout(patient(20.0)):
            while True:
                found = await scraped(processes, follower)
                if found.labels("process") == {"0", "1"}:
                    break
        assert found.value(f"{PREFIX}joins_total", process=str(follower), result="ok") == 1
        assert found.value(f"{PREFIX}tasks", process=str(follower), status="completed") == 1
