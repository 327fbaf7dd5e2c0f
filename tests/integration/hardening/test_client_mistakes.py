"""What a client does wrong on a socket is one short line of the log, and no traceback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from phoenix_compat.conformance.suite.connections import exchange
from tests.integration.hardening.besieged import Besieged, besieged, serve_in
from tests.polling import NDJSON
from tests.wire import PhoenixWire

SOCKET = "/socket/websocket?vsn=2.0.0"
LONGPOLL = "/socket/longpoll?vsn=2.0.0"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Besieged]:
    """A server that logs everything."""
    async with besieged(tmp_path, *serve_in(tmp_path, "--log-level", "debug")) as server:
        yield server


UNREADABLE = (
    *("", "x", "{}", "[]", "null", '["1"', '["1","1","a","b",{}', "[" * 60_000, "9" * 5_000),
    *('["1","1","t","e",[]]', '["1","1",{},"e",{}]', '["1","1","t",7,{}]', '"\\ud800"'),
)


async def test_messages_that_cannot_be_read(server: Besieged) -> None:
    """The connection ends; at most one line says why, at the level debug or as Phoenix says it.

    A client that writes V1 frames is warned of as well, once a minute for all such clients.
    """
    for message in UNREADABLE:
        wire = await PhoenixWire.open(server.url, SOCKET)
        before = len(server.log_text())

        await wire.send_text(message)
        await wire.send([None, "1", "phoenix", "heartbeat", {}])
        await wire.recv_frame()
        await wire.close()
        await server.health_s(1)

        text = server.log_text()[before:]
        lines = [line for line in text.splitlines() if "V1 frames" not in line or "[debug" in line]
        assert len(lines) <= 1, (message[:20], lines)
        assert all("[debug" in line or "Ignoring unmatched topic" in line for line in lines), lines
        assert all(len(line) < 500 for line in lines)


async def test_an_unknown_event_has_no_traceback(server: Besieged) -> None:
    """The channel crashes as in Phoenix, and the log names the event."""
    body = json.dumps({"input_data": {"type": "image", "prompt": "x"}})
    headers = {"Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{server.url}/api/tasks", data=body, headers=headers) as answer,
    ):
        topic = f"task:{(await answer.json())['task_id']}"
    wire = await PhoenixWire.open(server.url, SOCKET)
    await wire.join(topic)

    await wire.send(["1", "2", topic, "no such event\n\x1b[2J", {}])
    while json.loads(text := await wire.recv_text())[3] == "progress":
        pass
    await wire.close()

    log = server.log_text()
    assert json.loads(text)[3] == "phx_error"
    assert "has no handler for event 'no such event\\n\\x1b[2J'" in log
    assert "Traceback" not in log


async def test_long_poll_messages_that_cannot_be_read(server: Besieged) -> None:
    """The session ends or the line is refused; at the level debug. All at once, since some of the
    answers take as long as Phoenix waits for a session that has ended."""
    bodies = ("x", "é", '["1"', "[" * 60_000, '["1","1",{},"e",{}]')
    opened = [json.loads((await exchange(server.url, "GET", LONGPOLL)).body) for _ in bodies]
    before = len(server.log_text())

    async def send(body: str, token: str) -> None:
        target = f"{LONGPOLL}&token={token}"
        await exchange(server.url, "POST", target, [("Content-Type", NDJSON)], body.encode())

    await asyncio.gather(*map(send, bodies, (session["token"] for session in opened)))

    text = server.log_text()[before:]
    lines = [line for line in text.splitlines() if "V1 frames" not in line or "[debug" in line]
    assert len(lines) <= len(bodies), lines
    assert all("[debug" in line for line in lines), lines
