"""All long-lived tasks of the package are supervised, so that one error does not end them."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import phoenix_compat
from phoenix_compat import background
from phoenix_compat.cluster.bus import Bus
from phoenix_compat.cluster.presence_replicas import PresenceReplicas
from phoenix_compat.cluster.unix import UnixBus
from phoenix_compat.cluster.unix.link import Link
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.presence import Presence
from phoenix_compat.server.process.config.reload import _one_by_one
from phoenix_compat.server.process.systemd import ServiceManager
from tests.logged import logged_lines
from tests.patience import patient
from tests.unit.cluster.harness import folder

__all__ = ["folder"]

# Each with the reason why nobody need watch it.
UNWATCHED = {
    "background.py": "it watches",
    "accept/acceptor.py": "one connection handed to the server; an error ends that connection",
    "client/client.py": "a client's; it handles every error, and `close` awaits it",
    "client/transports/outbox.py": "sends what there is, and ends; errors end the connection",
    "runtime/spawner.py": "a callback of the user's; its channel takes the outcome",
    "tasks/worker/dispatch/runs.py": "the run of one task; its end is noted, a bug fails the task",
    "tasks/worker/dispatch/leased_claims.py": "one claim, which is awaited",
    "tasks/outgoing/dispatcher.py": "one delivery; a bug is logged, and it is made again later",
    "tasks/streams/text_follower.py": "one stream; its end is logged, and polls go on",
    "tasks/store/sqlite/writer.py": "one batch; its callers are told, the next begins anew",
    "tasks/store/sqlite/database.py": "one look at the disk; awaited, and begun anew",
    "tasks/store/postgres/writer.py": "some writes; their callers are told, the next begins anew",
    "tasks/store/postgres/connections.py": "closes one connection whose reader was cancelled",
    "tasks/store/postgres/database.py": "one question to the server; awaited, and begun anew",
    "tasks/archive/early_files.py": "some downloads; the files are tried again with the result",
    "tasks/archive/archive.py": "in a group that is awaited",
    "server/channel/shared_reads.py": "one read; whoever waits for it gets its error",
    "server/multiprocess/leader.py": "an error ends the process, with the reason",
    "server/process/config/reload.py": "an error is logged, and the next SIGHUP tries again",
    "cluster/unix/link.py": "two waits for events, cancelled when one of them is over",
    "cluster/unix/unix_bus.py": "one answer to a call; an error is logged, and the caller told",
    "cluster/brokers/answers.py": "the same",
    "cluster/brokers/drivers/working.py": "awaited; an error ends the connection",
    "cluster/siblings/folder.py": "makes one socket; awaited, also when its caller is cancelled",
    "cluster/workers/started_worker.py": "one process, and ends with it; an error is logged",
    "cluster/workers/supervisor.py": "in a group, or awaited; an error ends the process",
    "transports/asgi/client.py": "waits for the end of a client; cancelled after the response",
    "transports/asgi/connection.py": "sends to one client; an error drops its connection",
    "transports/asgi/routes.py": "joins the cluster; requests that wait for it get its error",
    "transports/cluster_sessions.py": "one request of a client; its response takes the outcome",
    "transports/aiohttp/first_requests.py": "one handshake; its response takes the outcome",
    "transports/aiohttp/peers.py": "one forwarded request; its response takes the outcome",
    "emulator/pictures/picture_cache.py": "one picture; whoever waits for it hears of an error",
    "emulator/web/webhook_sender.py": "one prediction's webhooks; an error is logged",
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Every module of the server, parsed; the conformance suite is a tool and not included."""
    root = Path(phoenix_compat.__file__).parent
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if not name.startswith(("conformance/", "testing/")):
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def test_every_unsupervised_task_has_a_reason() -> None:
    """Modules that call create_task are in the list above, with a reason."""
    begun = {
        name
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in {"create_task", "ensure_future"}
    }

    assert begun == set(UNWATCHED)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make all pauses short."""
    monkeypatch.setattr(background, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(background, "RUNNING_AFTER_S", 0.01)


@pytest.fixture
async def buses(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Bus, Bus]]:
    """Two nodes whose links fail at their first run."""
    failed: set[Link] = set()
    run = Link.run

    async def fail_first(link: Link) -> None:
        if link not in failed:
            failed.add(link)
            raise RuntimeError
        await run(link)

    monkeypatch.setattr(Link, "run", fail_first)
    async with UnixBus(folder, 0, 2) as first, UnixBus(folder, 1, 2) as second:
        yield first, second


async def test_a_link_of_the_bus_reconnects_after_a_bug(buses: tuple[Bus, Bus]) -> None:
    """Both nodes are connected in the end."""
    async with asyncio.timeout(patient(10.0)):
        while not all(bus.up for bus in buses):  # noqa: ASYNC110 - a state, of which no event tells
            await asyncio.sleep(0.001)

    assert [task.restarts for bus in buses for task in bus.background] == [1, 1]


async def test_presences_are_read_again_after_a_bug(
    buses: tuple[Bus, Bus], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a copy fails, the next attempt makes it."""
    failures = [RuntimeError()]
    replaced = asyncio.Event()

    def fail_first(_replicas: PresenceReplicas, *_state: object) -> None:
        if failures:
            raise failures.pop()
        replaced.set()

    monkeypatch.setattr(PresenceReplicas, "_take_state", fail_first)
    for bus in buses:
        PresenceReplicas(Presence(Endpoint(), node=bus.node), bus)

    async with asyncio.timeout(patient(10.0)):
        await replaced.wait()


async def test_the_watchdog_is_notified_again_after_a_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd would kill a process that stops sending watchdog messages."""
    beats: list[str] = []

    def fail_first(_manager: ServiceManager, words: str) -> None:
        beats.append(words)
        if len(beats) == 1:
            raise RuntimeError

    monkeypatch.setattr(ServiceManager, "_notify", fail_first)
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000"}
    async with ServiceManager(environment) as manager, asyncio.timeout(patient(10.0)):
        while len(beats) < 3:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
        restarts = [task.restarts for task in manager.background]

    assert restarts == [1]


async def test_a_failed_reload_is_logged() -> None:
    """The error is logged, and the next reload runs."""
    reloads: list[Any] = []

    async def reload() -> None:
        reloads.append(None)
        raise RuntimeError

    with logged_lines() as logs:
        async with _one_by_one(reload) as begin:
            begin()
            begin()
            async with asyncio.timeout(patient(10.0)):
                while len(logs) < 2:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.001)

    assert [(line["event"], line["task"]) for line in logs] == [("background.failed", "reload")] * 2
