"""What a task and a request leave in the log of a whole server."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import aiohttp

from tests.integration.operations.commands import server
from tests.integration.task_server import Client
from tests.patience import patient

COMMAND = ("-m", "phoenix_compat", "serve", "--port", "0")
ID = "the-id-of-a-proxy-0001"


async def lines_until(process: asyncio.subprocess.Process, *events: str) -> list[dict[str, Any]]:
    """The lines of the log up to the last of these events, which may come in any order."""
    assert process.stderr is not None
    missing = list(events)
    lines: list[dict[str, Any]] = []
    async with asyncio.timeout(patient(20.0)):
        while missing:
            lines.append(json.loads(await process.stderr.readline()))
            if lines[-1]["event"] in missing:
                missing.remove(lines[-1]["event"])
    return lines


async def send_raw(url: str, data: bytes) -> bytes:
    """Send bytes over a connection of their own; returns the beginning of the response."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    async with asyncio.timeout(patient(5.0)):
        answer = await reader.read(100)
    writer.close()
    return answer


async def test_a_task_and_its_request_can_be_found_in_the_log(tmp_path: Path) -> None:
    """One line when the task is queued, with the request's id, one when it ends, one for each
    response; none has the prompt, nor a query."""
    config = tmp_path / "c.toml"
    config.write_text(
        'data_dir = "data"\nemulator_speed = 20\nlog_format = "json"\naccess_log = "json"\n'
    )
    async with (
        server(*COMMAND, "--config", str(config)) as (process, url),
        aiohttp.ClientSession() as http,
    ):
        headers = {"X-Request-Id": ID, "User-Agent": "an app/1.0"}
        body = {"input_data": {"type": "image", "prompt": "SECRET PROMPT"}}
        async with http.post(f"{url}/api/tasks?a=QUERY", json=body, headers=headers) as answer:
            task_id = (await answer.json())["task_id"]
            assert answer.headers["X-Request-Id"] == ID
        async with http.get(f"{url}/api/nothing") as missing:
            made = missing.headers["X-Request-Id"]
        async with http.ws_connect(f"{url}/socket/websocket?vsn=2.0.0&token=QUERY"):
            pass
        malformed = await send_raw(url, b"GET / HTTP/1.1\r\nBad Header\r\n\r\n")
        await Client(url, http).ended(task_id)
        found = await lines_until(process, "task.completed", *["http.request"] * 4)

    queued, completed = (
        next(line for line in found if line["event"] == event)
        for event in ("task.queued", "task.completed")
    )
    requests = [line for line in found if line["event"] == "http.request"]
    posted, refused, upgraded, unreadable = requests[:4]
    assert queued["request_id"] == ID
    assert queued["task_id"] == completed["task_id"] == task_id
    assert "request_id" not in completed
    assert completed["model"] == "google/imagen-4-fast"
    assert completed["took_s"] > 0
    assert completed["cost_usd"] == 0.02
    assert posted.items() >= {
        "method": "POST", "path": "/api/tasks", "route": "/api/tasks", "status": 202,
        "request_id": ID, "user_agent": "an app/1.0", "address": "127.0.0.1",
    }.items()  # fmt: skip
    assert refused["status"] == 404
    assert refused["request_id"] == made
    assert len(made) == 20
    assert (upgraded["route"], upgraded["status"]) == ("/socket/websocket", 101)
    assert malformed.startswith(b"HTTP/1.0 400")
    assert (unreadable["route"], unreadable["status"]) == ("unmatched", 400)
    assert not {"request_id"} & {*upgraded, *unreadable}
    assert "SECRET" not in str(found)
    assert "QUERY" not in str(found)


async def test_sockets_answer_as_phoenix_does(tmp_path: Path) -> None:
    """Their responses have no id, and their lines do not have that of another request."""
    config = tmp_path / "c.toml"
    config.write_text('data_dir = "data"\nlog_level = "debug"\nlog_format = "json"\n')
    async with (
        server(*COMMAND, "--config", str(config)) as (process, url),
        aiohttp.ClientSession() as http,
    ):
        async with http.ws_connect(f"{url}/socket/websocket?vsn=2.0.0") as socket:
            await socket.send_str('["1","1","task:none","phx_join",{}]')
            await socket.receive_str()
        async with http.get(f"{url}/socket/longpoll?vsn=2.0.0") as answer:
            assert "X-Request-Id" not in answer.headers
        process.terminate()
        assert process.stderr is not None
        lines = [json.loads(line) async for line in process.stderr]

    joins = [line for line in lines if "task:none" in str(line)]
    assert joins
    assert not any("request_id" in line for line in lines)


async def test_the_access_log_can_be_turned_on(tmp_path: Path) -> None:
    """It is off at first; after a reload a line has method, path, status and time, as text."""
    config = tmp_path / "c.toml"
    config.write_text('data_dir = "data"\nlog_level = "warning"\n')
    async with (
        server(*COMMAND, "--config", str(config)) as (process, url),
        aiohttp.ClientSession() as http,
    ):
        assert process.stderr is not None
        async with http.get(f"{url}/healthz") as answer:
            assert answer.status == 200
        config.write_text('data_dir = "data"\nlog_level = "warning"\naccess_log = "short"\n')
        process.send_signal(signal.SIGHUP)
        first = (await process.stderr.readline()).decode()
        async with http.get(f"{url}/api/tasks?limit=1") as answer:
            assert answer.status == 200
        second = (await process.stderr.readline()).decode()

    assert "config.reloaded" in first
    assert "http.request" in second
    assert all(
        part in second for part in ("method=GET", "path=/api/tasks", "status=200", "took_ms=")
    )
    assert "limit=1" not in second
    assert "user_agent" not in second
