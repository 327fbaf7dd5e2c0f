"""Two processes that gunicorn or uvicorn has started, with one helper call: a Cluster."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from phoenix_compat.conformance.suite.cases import compact_json
from phoenix_compat.conformance.suite.wire_client import Opcode
from tests.integration.cluster.processes import (
    COMMANDS,
    Server,
    a_secret,
    join_another,
    logged,
    server,
    until,
    users,
)
from tests.patience import patient
from tests.polling import Poller
from tests.wire import PhoenixWire

every_server = pytest.mark.parametrize("kind", list(COMMANDS))
both_transports = pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])


async def closed_with(wire: PhoenixWire) -> int:
    """The code of the close frame; messages before it are read."""
    async with asyncio.timeout(patient(10.0)):
        while (frame := await wire.recv_frame()).opcode != Opcode.CLOSE:
            pass
    return frame.close_code


@every_server
async def test_two_processes_are_one_server(kind: str, tmp_path: Path) -> None:
    """Broadcasts, presences and `disconnect` reach the clients of both processes."""
    async with server(kind, tmp_path, CHAT_SECRET=a_secret(), CHAT_CLUSTER="chat") as running:
        ann = await join_another(running.url, "ann", "room:a")
        bob = await join_another(running.url, "bob", "room:a", ann.pid)

        await users(ann.wire, "room:a", ["ann", "bob"])
        await users(bob.wire, "room:a", ["ann", "bob"])
        await ann.wire.send(["1", "2", "room:a", "say", {"text": "hi"}])
        heard = [await until(wire, "said") for wire in (ann.wire, bob.wire)]
        await ann.wire.send(["1", "3", "room:a", "kick", {"user": "bob"}])
        code = await closed_with(bob.wire)
        await users(ann.wire, "room:a", ["ann"])
        log = running.log.read_text()
        for wire in (ann.wire, bob.wire):
            await wire.close()

    assert heard == [{"text": "hi"}] * 2
    assert code == 1001
    assert "do not know each other" not in log


async def reached(running: Server, poller: Poller, number: int) -> set[str]:
    """Post a message and poll it; the processes that the two requests have reached."""
    message = ["1", f"{number}", "room:p", "say", {"number": number}]
    posted = await poller.post(compact_json(message))
    assert posted.json == {"status": 200}
    polled = await poller.get()
    assert polled.json["status"] == 200, polled.json
    assert polled.json["token"] == poller.token
    assert f'"number":{number}' in polled.json["messages"][-1], polled.json
    return {posted.headers["X-Pid"], polled.headers["X-Pid"]}


@both_transports
async def test_a_long_poll_session_in_the_other_process(kind: str, tmp_path: Path) -> None:
    """Requests that reach the other process are answered by the one with the session."""
    async with server(kind, tmp_path, CHAT_SECRET=a_secret(), CHAT_CLUSTER="chat") as running:
        ann = await join_another(running.url, "ann", "room:a")
        bob = await join_another(running.url, "bob", "room:a", ann.pid)
        poller = await Poller.open(running.url)
        await poller.send(["1", "1", "room:p", "phx_join", {}])
        await poller.recv_many(2)

        pids: set[str] = set()
        async with asyncio.timeout(patient(30.0)):
            number = 0
            while number < 10 or len(pids) < 2:
                number += 1
                pids |= await reached(running, poller, number)
        nothing = await poller.poll()
        for wire in (ann.wire, bob.wire):
            await wire.close()

    assert pids == {str(ann.pid), str(bob.pid)}
    assert (nothing["status"], nothing["messages"]) == (204, [])


@both_transports
async def test_a_process_that_is_killed(kind: str, tmp_path: Path) -> None:
    """Its presences leave, and the process in its place belongs to the cluster."""
    async with server(kind, tmp_path, CHAT_SECRET=a_secret(), CHAT_CLUSTER="chat") as running:
        ann = await join_another(running.url, "ann", "room:a")
        bob = await join_another(running.url, "bob", "room:a", ann.pid)
        await users(ann.wire, "room:a", ["ann", "bob"])

        os.kill(bob.pid, signal.SIGKILL)
        await users(ann.wire, "room:a", ["ann"])
        eve = await join_another(running.url, "eve", "room:a", ann.pid, bob.pid)
        await users(ann.wire, "room:a", ["ann", "eve"])
        await eve.wire.send(["1", "2", "room:a", "say", {"text": "hi"}])
        heard = await until(ann.wire, "said")
        for wire in (ann.wire, bob.wire, eve.wire):
            await wire.close()

    assert heard == {"text": "hi"}


@every_server
async def test_two_processes_without_a_cluster(kind: str, tmp_path: Path) -> None:
    """Each logs once that it does not know the other, and what to write."""
    async with server(kind, tmp_path) as running:
        ann = await join_another(running.url, "ann", "room:a")
        bob = await join_another(running.url, "bob", "room:a", ann.pid)
        log = running.log.read_text()
        for wire in (ann.wire, bob.wire):
            await wire.close()

    name = kind.partition(" ")[0]
    told = f"{name} runs 2 processes of this application, which do not know each other"
    assert log.count(told) == 2
    assert "Write mount(app, endpoint, cluster=Cluster())" in log


@both_transports
async def test_a_cluster_without_a_secret(kind: str, tmp_path: Path) -> None:
    """The server does not start, and says what to write."""
    async with server(kind, tmp_path, CHAT_CLUSTER="chat") as running:
        log = await logged(running, "a Cluster needs a secret that all processes share")

    assert "Endpoint(secret_key_base=...)" in log
