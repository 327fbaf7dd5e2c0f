"""`phoenix-compat keys` beside a running server, of one process and of two."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.conformance.suite.wire_client import WireClient
from phoenix_compat.server.auth.api_keys import is_key
from phoenix_compat.server.control.messages import SOCKET_NAME
from tests.integration.keys.keyed_server import NAME
from tests.integration.multiprocess.multiprocess_harness import (
    MultiprocessServer,
    multiprocess_server,
)
from tests.integration.operations import commands
from tests.patience import patient
from tests.wire import V2, PhoenixWire

SERVE = ("-m", NAME, "serve", "--port", "0", "--data-dir")
GOING_AWAY = 1001

pytestmark = pytest.mark.timeout(180)  # several commands, a process each


async def keys(folder: Path, *arguments: str) -> commands.Finished:
    """Run `keys` with these arguments."""
    return await commands.run("-m", "phoenix_compat", "keys", *arguments, "--data-dir", str(folder))


async def created(folder: Path, name: str) -> str:
    """Create a key."""
    finished = await keys(folder, "create", name)
    assert finished.code == 0, finished.err
    return finished.out.strip()


async def status_of(url: str, key: str) -> int:
    """The status of the answer to a handshake with this key."""
    client = await WireClient.connect(url)
    try:
        return (await client.handshake(f"{V2}&token={key}")).status
    finally:
        await client.close()


async def test_a_key_lives_beside_a_running_server(tmp_path: Path) -> None:
    """It is created, used, listed and revoked while the server runs. The revocation closes its
    sockets with 1001 and those of no other key, and it opens no more. The server's output has no
    key."""
    async with commands.server(*SERVE, str(tmp_path)) as (process, url):
        key, other = await created(tmp_path, "phone"), await created(tmp_path, "tv")
        assert is_key(key)
        taken = await keys(tmp_path, "create", "phone")
        assert (taken.code, taken.out) == (2, "")
        assert "there is a key named phone already" in taken.err

        wire = await PhoenixWire.open(url, f"{V2}&token={key}")
        other_wire = await PhoenixWire.open(url, f"{V2}&token={other}")
        await wire.join("room:1")
        assert await status_of(url, "pck_" + "A" * 43) == 403
        listed = json.loads((await keys(tmp_path, "list", "--json")).out)
        assert [record["last_used_at"] is None for record in listed] == [False, False]

        revoked = await keys(tmp_path, "revoke", "phone")

        assert revoked.out.startswith("phone is revoked since ")
        assert await wire.recv_close(10.0) == GOING_AWAY
        assert await status_of(url, key) == 403
        await other_wire.fence()
        for one in (wire, other_wire):
            await one.close()
        process.send_signal(signal.SIGTERM)
        finished = await commands.finish(process)
        assert key not in finished.out + finished.err
        assert "key.revoked" in finished.err
    assert not await asyncio.to_thread((tmp_path / SOCKET_NAME).exists)
    listed = json.loads((await keys(tmp_path, "list", "--json")).out)
    assert [record["revoked_at"] is None for record in listed] == [False, True]


async def test_a_fresh_package_starts_with_a_key(tmp_path: Path) -> None:
    """The key in the file opens a socket; the log names the file and not the key, and no later
    start creates one."""
    folder = tmp_path / "data"
    serve = (*SERVE, str(folder), "--create-first-key")
    async with commands.server(*serve) as (process, url):
        key = await asyncio.to_thread((folder / "first-key").read_text)
        mode = (await asyncio.to_thread((folder / "first-key").stat)).st_mode
        assert stat.S_IMODE(mode) == 0o600
        assert await status_of(url, key.strip()) == 101
        process.send_signal(signal.SIGTERM)
        first = await commands.finish(process)
    await asyncio.to_thread(os.unlink, folder / "first-key")
    async with commands.server(*serve) as (process, url):
        assert await status_of(url, key.strip()) == 101
        process.send_signal(signal.SIGTERM)
        second = await commands.finish(process)

    assert str(folder / "first-key") in first.err
    assert key.strip() not in first.out + first.err + second.out + second.err
    assert not await asyncio.to_thread((folder / "first-key").exists)


@asynccontextmanager
async def two_processes(folder: Path, *options: str) -> AsyncIterator[MultiprocessServer]:
    """The server in two processes."""
    async with multiprocess_server(*SERVE, str(folder), *options, data_dir=folder) as processes:
        yield processes


async def leader_is(processes: MultiprocessServer, node: int) -> None:
    """Wait until this process is the leader."""
    async with asyncio.timeout(patient(20.0)):
        while await processes.leader() != node:  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.05)


async def answer(processes: MultiprocessServer, node: int, key: str) -> tuple[int, Any]:
    """Try to open a socket with this key at this process."""
    client = await processes.connect(node)
    return (await client.handshake(f"{V2}&token={key}")).status, PhoenixWire(client)


async def test_keys_work_in_every_process(tmp_path: Path) -> None:
    """A key is used in both processes. A revocation closes its sockets in both, and neither opens
    another one. This is so with the next leader, too, after the first was killed."""
    async with two_processes(tmp_path, "--create-first-key") as processes:
        first = (await asyncio.to_thread((tmp_path / "first-key").read_text)).strip()
        tv = await created(tmp_path, "tv")
        killed = await processes.leader()
        for name in ("before", "after"):
            key = await created(tmp_path, name)
            wires = []
            for node in (0, 1):
                status, wire = await answer(processes, node, key)
                assert status == 101
                wires.append(wire)

            revoked = await keys(tmp_path, "revoke", name)

            assert revoked.code == 0, revoked.err
            for wire in wires:
                assert await wire.recv_close(10.0) == GOING_AWAY
            for node in (0, 1):
                assert (await answer(processes, node, key))[0] == 403
                assert (await answer(processes, node, tv))[0] == 101
                assert (await answer(processes, node, first))[0] == 101
            if name == "before":
                await processes.kill(killed)
                await leader_is(processes, 1 - killed)
