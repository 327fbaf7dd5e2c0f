"""`GET /metrics` and `GET /api/status` of a whole server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.metrics.exposed import OPENMETRICS, Exposed
from tests.integration.task_server import Client, product, settings_for
from tests.patience import patient
from tests.wire import PhoenixWire

PREFIX = "phoenix_compat_"

ASKED_FOR = {
    "sockets",
    "channels",
    "joins",
    "frames",
    "frame_bytes",
    "outbox_bytes",
    "slow_clients",
    "heartbeat_timeouts",
    "drained",
    "tasks",
    "task_duration_seconds",
    "queue_wait_seconds",
    "tasks_ended",
    "creates",
    "provider_request_seconds",
    "provider_circuit",
    "spend_usd",
    "webhooks",
    "archive_bytes",
    "commit_seconds",
    "http_requests_seconds",
    "loop_lag_seconds",
    "build",
    "start_time_seconds",
}
"""The metrics that operators were promised."""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Client]:
    """A server without authentication on loopback."""
    async with product(settings_for(tmp_path)) as client:
        yield client


async def scrape(url: str, accept: str = OPENMETRICS) -> Exposed:
    """What the server exposes."""
    headers = {"Accept": accept}
    async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics", headers=headers) as got:
        assert got.status == 200
        is_openmetrics = got.content_type == "application/openmetrics-text"
        assert is_openmetrics == (accept == OPENMETRICS)
        return Exposed(await got.text(), is_openmetrics=is_openmetrics)


async def test_a_task_is_counted_from_its_post_to_its_picture(server: Client) -> None:
    """Tasks, creates, money, sockets and messages are counted; both formats can be parsed."""
    wire = await PhoenixWire.open(server.url)
    task_id = await server.post("SECRET PROMPT")
    end = await server.ended(task_id)
    await wire.join(f"task:{task_id}")
    assert end["status"] == "completed"

    found = await scrape(server.url)

    assert {PREFIX + name for name in ASKED_FOR} <= found.names
    assert found.value(f"{PREFIX}tasks", status="completed") == 1
    assert found.value(f"{PREFIX}tasks_queued_total") == 1
    assert found.value(f"{PREFIX}tasks_ended_total", status="completed", code="") == 1
    assert found.value(f"{PREFIX}creates_total", result="ok") == 1
    assert found.value(f"{PREFIX}task_duration_seconds_count", type="image") == 1
    assert found.value(f"{PREFIX}queue_wait_seconds_count") == 1
    assert found.total(f"{PREFIX}provider_request_seconds_count", operation="submit") == 1
    assert found.total(f"{PREFIX}spend_usd_total") == pytest.approx(0.02)
    assert found.value(f"{PREFIX}spend_today_usd") == pytest.approx(0.02)
    assert found.value(f"{PREFIX}archive_bytes") > 0
    assert found.value(f"{PREFIX}provider_circuit", state="closed") == 1
    assert found.value(f"{PREFIX}sockets", transport="websocket", vsn="2.0.0") == 1
    assert found.value(f"{PREFIX}channels") == 1
    assert found.value(f"{PREFIX}joins_total", result="ok") == 2
    assert found.total(f"{PREFIX}frames_total", direction="in") >= 2
    assert found.total(f"{PREFIX}frame_bytes_total", direction="out") > 100
    assert (
        found.value(
            f"{PREFIX}http_requests_seconds_count", method="POST", route="/api/tasks", status="202"
        )
        == 1
    )
    assert found.value(f"{PREFIX}commit_seconds_count") > 3
    await wire.close()

    older = await scrape(server.url, "text/plain")

    assert f"{PREFIX}build_info" in older.series
    labels = set().union(*(older.labels(name) for name in ("route", "model", "code", "status")))
    assert not any(word in label for label in labels for word in ("SECRET", task_id))


async def test_a_client_that_left_is_not_counted(server: Client) -> None:
    """The gauges of sockets and channels go down again; the counters of joins do not."""
    wire = await PhoenixWire.open(server.url)
    task_id = await server.post()
    await wire.join(f"task:{task_id}")
    await wire.close()
    async with asyncio.timeout(patient(10.0)):
        while (found := await scrape(server.url)).total(f"{PREFIX}sockets"):  # noqa: ASYNC110 - it asks
            await asyncio.sleep(0.01)

    assert found.value(f"{PREFIX}channels") == 0
    assert found.value(f"{PREFIX}joins_total", result="ok") == 1
    assert found.value(f"{PREFIX}sockets_connected_total") == 1


async def test_the_status_has_what_operators_look_at_first(server: Client) -> None:
    """Queue, rate, time to the picture, money, sockets and the event loop's lag."""
    await server.ended(await server.post())

    status, found = await server.request("GET", "/api/status")

    assert status == 200
    tasks: dict[str, Any] = found["tasks"]
    assert (tasks["queued"], tasks["running"], tasks["completed"], tasks["failed"]) == (0, 0, 1, 0)
    assert tasks["ended_per_minute"] == 1
    assert 0.0 < tasks["p50_s"] == tasks["p95_s"]
    assert tasks["spend_today_usd"] == pytest.approx(0.02)
    assert tasks["circuit"] == "closed"
    assert found["processes"] == 1
    assert found["missing_processes"] == 0
    assert found["loop_lag_s"] >= 0.0


async def test_an_unknown_path_is_no_label(server: Client) -> None:
    """Paths and methods that clients make up are counted together."""
    for number in range(3):
        await server.request("GET", f"/api/wp-admin/{number}")
    await server.request("PROPFIND", "/api/tasks")

    found = await scrape(server.url)

    assert found.labels("route") <= {"unmatched", "/metrics"}
    assert found.total(f"{PREFIX}http_requests_seconds_count", route="unmatched", method="GET") == 3
    assert found.total(f"{PREFIX}http_requests_seconds_count", method="other") == 1
