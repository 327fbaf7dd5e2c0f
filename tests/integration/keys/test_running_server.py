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

from phoenix_compat.server.auth.keys.api_keys import is_key
from phoenix_compat.server.control.messages import SOCKET_NAME
from tests.integration.auth.auth_harness import bearer, create, created_task, handshake, join
from tests.integration.multiprocess.multiprocess_harness import (
    MultiprocessServer,
    multiprocess_server,
)
from tests.integration.operations import commands
from tests.patience import patient
from tests.polling import Poller
from tests.wire import V2, PhoenixWire

SERVE = ("-m", "phoenix_compat", "serve", "--port", "0", "--data-dir")
KEYS_ONLY: dict[str, Any] = {"PHOENIX_COMPAT_AUTH": '["keys"]'}
USER = ("X-Owner", "user-17")
GOING_AWAY = 1001

pytestmark = pytest.mark.timeout(180)  # several commands, a process each


async def keys(folder: Path, *arguments: str) -> commands.Finished:
    """Run `keys` with these arguments."""
    return await commands.run("-m", "phoenix_compat", "keys", *arguments, "--data-dir", str(folder))


async def created(folder: Path, name: str, scopes: str = "create,read,cancel") -> str:
    """Create a key."""
    finished = await keys(folder, "create", name, "--scope", scopes)
    assert finished.code == 0, finished.err
    return finished.out.strip()


async def revoked(folder: Path, name: str) -> None:
    """Revoke a key."""
    finished = await keys(folder, "revoke", name)
    assert finished.code == 0, finished.err
    assert finished.out.startswith(f"{name} is revoked since ")


async def status_of(url: str, key: str, *headers: tuple[str, str]) -> int:
    """The status of the answer to a handshake with this key."""
    return await handshake(url, f"{V2}&token={key}", *headers)


async def test_a_key_lives_beside_a_running_server(tmp_path: Path) -> None:
    """It is created, used, listed and revoked while the server runs. The revocation closes its
    sockets with 1001 and those of no other key, and it opens no more. The server's output has no
    key."""
    other = await created(tmp_path, "tv")
    async with commands.server(*SERVE, str(tmp_path), **KEYS_ONLY) as (process, url):
        key = await created(tmp_path, "phone")
        assert is_key(key)
        taken = await keys(tmp_path, "create", "phone")
        assert (taken.code, taken.out) == (2, "")
        assert "there is a key named phone already" in taken.err

        task_id = await created_task(url, bearer(key))
        wire = await PhoenixWire.open(url, f"{V2}&token={key}")
        other_wire = await PhoenixWire.open(url, f"{V2}&token={other}")
        assert await status_of(url, "pck_" + "A" * 43) == 403
        listed = json.loads((await keys(tmp_path, "list", "--json")).out)
        assert [record["last_used_at"] is None for record in listed] == [False, False]

        await revoked(tmp_path, "phone")

        assert await wire.recv_close(10.0) == GOING_AWAY
        assert await status_of(url, key) == 403
        assert (await create(url, bearer(key))).status == 401
        assert (await join(other_wire, task_id))["response"] == {"reason": "not found"}
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


async def test_a_revoked_key_leaves_no_socket_of_a_user(tmp_path: Path) -> None:
    """What a backend opened for a user is closed, over both transports and without any join; the
    user's own sockets stay."""
    await created(tmp_path, "tv")
    backend = await created(tmp_path, "backend", "create,read,cancel,impersonate")
    again = await created(tmp_path, "again", "create,read,cancel,impersonate")
    async with commands.server(*SERVE, str(tmp_path), **KEYS_ONLY) as (_, url):
        task_id = await created_task(url, bearer(backend), USER)
        idle = await PhoenixWire.open(url, f"{V2}&token={backend}", [USER])
        watching = await PhoenixWire.open(url, f"{V2}&token={backend}", [USER])
        assert (await join(watching, task_id))["status"] == "ok"
        polling = await Poller.open(url, headers=dict([bearer(backend), USER]))
        stays = await PhoenixWire.open(url, f"{V2}&token={again}", [USER])

        await revoked(tmp_path, "backend")

        assert await idle.recv_close(10.0) == GOING_AWAY
        async with asyncio.timeout(patient(10.0)):
            while (await watching.recv_frame()).close_code != GOING_AWAY:
                pass
        assert await polling.is_gone()
        assert await status_of(url, backend, USER) == 403
        assert (await create(url, bearer(backend), USER)).status == 401
        await stays.fence()
        for wire in (idle, watching, stays):
            await wire.close()


async def test_a_revoked_key_of_a_server_without_authentication(tmp_path: Path) -> None:
    """With `insecure_no_auth` a key is still good for its scopes, and its sockets are closed as
    elsewhere; those without a key stay."""
    key = await created(tmp_path, "ops", "operate")
    settings = {"PHOENIX_COMPAT_INSECURE_NO_AUTH": "true"}
    async with commands.server(*SERVE, str(tmp_path), **settings) as (_, url):
        operator = await PhoenixWire.open(url, f"{V2}&token={key}")
        anyone = await PhoenixWire.open(url)

        await revoked(tmp_path, "ops")

        assert await operator.recv_close(10.0) == GOING_AWAY
        await anyone.fence()
        for wire in (operator, anyone):
            await wire.close()


async def test_a_revoked_key_joins_nothing(tmp_path: Path) -> None:
    """Where each join has its own credential, its channel ends and it cannot join again; the
    socket, which is nobody's, stays."""
    key, other = await created(tmp_path, "phone"), await created(tmp_path, "tv")
    at_join = {"PHOENIX_COMPAT_AUTH_AT_JOIN": "true", "PHOENIX_COMPAT_EMULATOR_SPEED": "0.01"}
    async with commands.server(*SERVE, str(tmp_path), **KEYS_ONLY, **at_join) as (_, url):
        task_id = await created_task(url, bearer(key))
        of_other = await created_task(url, bearer(other))
        wire = await PhoenixWire.open(url)
        assert (await join(wire, task_id, "1", token=key))["status"] == "ok"
        assert (await join(wire, of_other, "2", token=other))["status"] == "ok"

        await revoked(tmp_path, "phone")

        while (message := await wire.recv())[3] == "progress":
            pass
        assert message[2:4] == [f"task:{task_id}", "phx_close"]
        refused = await join(wire, task_id, "3", token=key)
        assert refused["response"] == {"reason": "unauthorized"}
        assert await join(wire, "x", "4", token=other) == {
            "status": "error",
            "response": {"reason": "not found"},
        }
        await wire.close()


async def test_a_fresh_package_starts_with_a_key(tmp_path: Path) -> None:
    """The key in the file opens a socket; the log names the file and not the key, and no later
    start creates one."""
    folder = tmp_path / "data"
    serve = (*SERVE, str(folder), "--create-first-key")
    async with commands.server(*serve, **KEYS_ONLY) as (process, url):
        key = await asyncio.to_thread((folder / "first-key").read_text)
        mode = (await asyncio.to_thread((folder / "first-key").stat)).st_mode
        assert stat.S_IMODE(mode) == 0o600
        assert await status_of(url, key.strip()) == 101
        process.send_signal(signal.SIGTERM)
        first = await commands.finish(process)
    await asyncio.to_thread(os.unlink, folder / "first-key")
    async with commands.server(*serve, **KEYS_ONLY) as (process, url):
        assert await status_of(url, key.strip()) == 101
        process.send_signal(signal.SIGTERM)
        second = await commands.finish(process)

    assert str(folder / "first-key") in first.err
    assert key.strip() not in first.out + first.err + second.out + second.err
    assert not await asyncio.to_thread((folder / "first-key").exists)


@asynccontextmanager
async def two_processes(folder: Path, *options: str) -> AsyncIterator[MultiprocessServer]:
    """The server in two processes."""
    command = (*SERVE, str(folder), *options)
    async with multiprocess_server(*command, data_dir=folder, **KEYS_ONLY) as processes:
        yield processes


async def leader_is(processes: MultiprocessServer, node: int) -> None:
    """Wait until this process is the leader."""
    async with asyncio.timeout(patient(20.0)):
        while await processes.leader() != node:  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.05)


async def answer(
    processes: MultiprocessServer, node: int, key: str, *headers: tuple[str, str]
) -> tuple[int, Any]:
    """Try to open a socket with this key at this process."""
    client = await processes.connect(node)
    response = await client.handshake(f"{V2}&token={key}", extra=headers)
    return response.status, PhoenixWire(client)


async def posted(processes: MultiprocessServer, node: int, key: str) -> int:
    """The status of an order with this key at this process."""
    body = {"input_data": {"type": "image", "prompt": "monk"}}
    return (
        await processes.request(node, "POST", "/api/tasks", body, Authorization=f"Bearer {key}")
    )[0]


async def test_keys_work_in_every_process(tmp_path: Path) -> None:
    """A key is used in both processes. A revocation closes its sockets in both, also those that it
    opened for users, and neither opens another one or takes an order. This is so with the next
    leader, too, after the first was killed."""
    async with two_processes(tmp_path, "--create-first-key") as processes:
        first = (await asyncio.to_thread((tmp_path / "first-key").read_text)).strip()
        tv = await created(tmp_path, "tv")
        killed = await processes.leader()
        for name in ("before", "after"):
            key = await created(tmp_path, name, "create,read,cancel,impersonate")
            wires = []
            for node in (0, 1):
                assert await posted(processes, node, key) == 202
                for headers in ((), (USER,)):
                    status, wire = await answer(processes, node, key, *headers)
                    assert status == 101
                    wires.append(wire)

            await revoked(tmp_path, name)

            for wire in wires:
                assert await wire.recv_close(10.0) == GOING_AWAY
            for node in (0, 1):
                assert await posted(processes, node, key) == 401
                assert (await answer(processes, node, key))[0] == 403
                assert (await answer(processes, node, tv))[0] == 101
                assert (await answer(processes, node, first))[0] == 101
            if name == "before":
                await processes.kill(killed)
                await leader_is(processes, 1 - killed)


@pytest.mark.parametrize("size", [1, 2])
async def test_tasks_are_adopted_while_they_are_watched(tmp_path: Path, size: int) -> None:
    """In every process the new owner finds them at once, although they are remembered as nobody's,
    and who watched them goes on watching."""
    slow: dict[str, Any] = {"PHOENIX_COMPAT_EMULATOR_SPEED": "0.01"}
    async with commands.server(*SERVE, str(tmp_path), **slow) as (_, url):
        task_id = await created_task(url)
    operator = await created(tmp_path, "admin", "operate")
    phone = await created(tmp_path, "phone")
    serve = (*SERVE, str(tmp_path))
    slow |= KEYS_ONLY
    async with multiprocess_server(*serve, size=size, **slow) as processes:
        nodes = range(size)

        async def shown(node: int, key: str) -> int:
            bearer_of = {"Authorization": f"Bearer {key}"}
            return (await processes.request(node, "GET", f"/api/tasks/{task_id}", **bearer_of))[0]

        async def joins(node: int, key: str) -> tuple[str, PhoenixWire]:
            wire = await processes.wire(node, f"{V2}&token={key}")
            return (await join(wire, task_id))["status"], wire

        watchers = [await joins(node, operator) for node in nodes]
        before = [(await shown(node, phone), (await joins(node, phone))[0]) for node in nodes]

        adopted = await keys(tmp_path, "adopt", "key:phone")

        after = [(await shown(node, phone), (await joins(node, phone))[0]) for node in nodes]
        again = [(await joins(node, operator))[0] for node in nodes]
        _, wire = await joins(0, phone)
        await wire.send(["1", "c", f"task:{task_id}", "cancel", {}])
        for _, watcher in watchers:
            async with asyncio.timeout(patient(20.0)):
                while (await watcher.recv())[4].get("status") != "failed":
                    pass

    assert adopted.out == "1 task now belongs to key:phone\n"
    assert before == [(404, "error")] * size
    assert after == [(200, "ok")] * size
    assert [status for status, _ in watchers] == again == ["ok"] * size
