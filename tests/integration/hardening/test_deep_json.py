"""JSON that nests deep, at every door: nothing that a client sends stops the server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from phoenix_compat.bounded import MAX_NESTING
from phoenix_compat.conformance.faults.server import add_fault_server
from phoenix_compat.conformance.suite.wire_client import Opcode
from phoenix_compat.emulator import Emulator, EmulatorSettings
from tests.conftest import Serve
from tests.integration.echo_app import OpenChannel
from tests.integration.hardening.besieged import Besieged, besieged, serve_in
from tests.serving import accepting, socket_app
from tests.wire import V1, V2, PatientClient, PhoenixWire

DEEP = 600
MAX_LOG_BYTES = 100_000
_FLOODS = 5
_QUICK_S = 0.1
_BUSY_TIMES = 10
"""On a machine that is busy with other things all answers take longer."""


def nested(levels: int, shape: str = "array") -> str:
    """The text of JSON with so many levels."""
    if shape == "array":
        return "[" * levels + "]" * levels
    return '{"a":' * levels + "1" + "}" * levels


def frames(version: str, shape: str, levels: int = DEEP) -> list[str]:
    """A frame with the deep value in each of its places."""
    deep = nested(levels, shape)
    usual = {
        "join_ref": '"1"',
        "ref": '"1"',
        "topic": '"task:nope"',
        "event": '"phx_join"',
        "payload": "{}",
    }
    messages = [
        usual | {place: '{"a":' + deep + "}" if place == "payload" else deep} for place in usual
    ]
    messages.append(usual | {"topic": deep, "event": deep, "ref": deep, "payload": deep})
    messages.append(usual | {"topic": '"nowhere"', "ref": deep, "payload": deep})
    if version == V2:
        return ["[" + ",".join(message.values()) + "]" for message in messages]
    return [
        "{" + ",".join(f'"{name}":{value}' for name, value in message.items()) + "}"
        for message in messages
    ]


async def flood(server: Besieged, version: str, shape: str) -> None:
    """Send every frame, each answered before the next is sent."""
    for _ in range(_FLOODS):
        wire = await PhoenixWire.open(server.url, version)
        for frame in frames(version, shape):
            await wire.send_text(frame)
            assert "phx_reply" in await wire.recv_text()
        await wire.close()


async def flood_long_poll(server: Besieged) -> None:
    """The same through POSTs of one session."""
    client = await PatientClient.connect(server.url)
    opened = await client.request("GET", "/socket/longpoll?vsn=2.0.0")
    token = json.loads(opened.body)["token"]
    target = f"/socket/longpoll?vsn=2.0.0&token={token}"
    for shape in ("array", "map"):
        for frame in frames(V2, shape):
            headers = [("Content-Type", "application/json")]
            answer = await client.request("POST", target, headers, frame.encode())
            assert json.loads(answer.body) == {"status": 200}
    await client.close()


async def flood_api(server: Besieged) -> None:
    """The same through orders."""
    async with aiohttp.ClientSession() as http:
        for shape in ("array", "map"):
            order = '{"input_data":{"type":"image","prompt":"x","y":' + nested(DEEP, shape) + "}}"
            for _ in range(_FLOODS):
                headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
                url = f"{server.url}/api/tasks"
                async with http.post(url, data=order, headers=headers) as answer:
                    assert answer.status == 400, await answer.text()
                    assert (
                        f"more than {MAX_NESTING} levels"
                        in (await answer.json(content_type=None))["detail"]
                    )


@pytest.mark.parametrize("log_format", ["console", "json"])
async def test_deep_json_stops_nobody(tmp_path: Path, log_format: str) -> None:
    """S1: while more than a hundred deep frames arrive, at all doors, others are answered as
    usual, and the log stays short."""
    arguments = serve_in(tmp_path, "--log-format", log_format, "--log-level", "debug")
    async with besieged(tmp_path, *arguments) as server:
        usual_s = await server.health_s(30)
        logged = server.log_bytes

        floods = asyncio.gather(
            *(flood(server, version, shape) for version in (V1, V2) for shape in ("array", "map")),
            flood_long_poll(server),
            flood_api(server),
        )
        besieged_s = await server.health_s(30)
        await floods
        logged = server.log_bytes - logged

    assert besieged_s < max(_QUICK_S, _BUSY_TIMES * usual_s)
    assert logged < MAX_LOG_BYTES
    assert "Traceback" not in server.log_text()


async def test_joins_with_deep_or_large_parameters(tmp_path: Path) -> None:
    """The lines of joins that are accepted are short too, whatever their parameters."""
    async with besieged(tmp_path, *serve_in(tmp_path)) as server, aiohttp.ClientSession() as http:
        order = {"input_data": {"type": "image", "prompt": "x"}}
        async with http.post(f"{server.url}/api/tasks", json=order) as answer:
            topic = (await answer.json())["topic"]
        logged = server.log_bytes
        large = json.dumps({f"k{number}": "x" * 50 for number in range(900)})

        for payload in (nested(DEEP), nested(DEEP, "map"), large):
            wire = await PhoenixWire.open(server.url, V2)
            for _ in range(10):
                await wire.send_text(f'["1","1","{topic}","phx_join",{payload}]')
                reply: list[Any] = []
                while reply[3:4] != ["phx_reply"]:
                    reply = await wire.recv()
                assert reply[4]["status"] == "ok"
            await wire.close()
        logged = server.log_bytes - logged

    assert server.log_text().count("JOINED") == 30
    assert logged < 30 * 2_000


async def test_an_order_as_deep_as_is_taken_is_served(tmp_path: Path) -> None:
    """What is accepted is stored, shown, listed, and made once for a key; one level more is not."""
    # The body and input_data are two levels of the order.
    orders = {
        levels: '{"input_data":{"type":"image","prompt":"x","mask":' + nested(levels) + "}}"
        for levels in (MAX_NESTING - 2, MAX_NESTING - 1)
    }
    headers = {"Content-Type": "application/json", "Idempotency-Key": "deep"}
    async with besieged(tmp_path, *serve_in(tmp_path)) as server, aiohttp.ClientSession() as http:
        url = f"{server.url}/api/tasks"
        answers = []
        for levels in (MAX_NESTING - 2, MAX_NESTING - 2, MAX_NESTING - 1):
            async with http.post(url, data=orders[levels], headers=headers) as answer:
                answers.append((answer.status, await answer.json(content_type=None)))
        task_id = answers[0][1]["task_id"]
        async with http.get(f"{url}/{task_id}") as shown, http.get(url) as listed:
            task, tasks = await shown.json(), (await listed.json())["tasks"]

    assert [status for status, _ in answers] == [202, 202, 400]
    assert answers[1][1]["task_id"] == task_id
    assert json.dumps(task["input_data"]["mask"]) == nested(MAX_NESTING - 2)
    assert [one["task_id"] for one in tasks] == [task_id]


@pytest.mark.parametrize("levels", [100, 900, 50_000])
async def test_the_other_servers_refuse_it(serve: Serve, levels: int) -> None:
    """The emulator and the fault server's control answer 4xx, and go on."""
    deep = nested(levels)
    app = web.Application()
    add_fault_server(app)
    faults_url = await serve(app)
    async with Emulator(EmulatorSettings()) as emulator, aiohttp.ClientSession() as http:
        headers = {"Authorization": "Bearer r8_any"}
        model = f"{emulator.base_url}/models/google/imagen-4-fast/predictions"
        orders = {
            model: '{"input":{"prompt":"x","y":' + deep + "}}",
            f"{emulator.origin}/__emu/faults": deep,
            f"{faults_url}/control/faults": '{"fault":' + deep + "}",
            f"{faults_url}/control/heard": '{"payload":{"a":' + deep + "}}",
        }
        for url, body in orders.items():
            async with http.post(url, data=body, headers=headers) as answer:
                assert 400 <= answer.status < 500, url


@pytest.mark.parametrize("version", [V1, V2])
async def test_the_limit_of_the_wire(serve: Serve, version: str) -> None:
    """Whatever the depth, a frame is answered or its connection closed with 1011, and the next
    connection is as good as ever."""
    url = await serve(socket_app(accepting({"room:*": OpenChannel})))
    for levels in (*range(850, 1_010, 8), 20_000):
        for frame in frames(version, "array", levels):
            wire = await PhoenixWire.open(url, version)
            await wire.send_text(frame)
            answer = await wire.recv_frame()
            assert answer.opcode == Opcode.TEXT or answer.close_code == 1011, levels
            await wire.close()
