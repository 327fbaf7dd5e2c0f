"""Notifications to systemd, over a real datagram socket."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from phoenix_compat.errors import ConfigError
from phoenix_compat.server.process.systemd import ServiceManager
from tests.integration.operations.commands import finish, listening_url, start
from tests.patience import patient

_TIMEOUT_S = 30.0


class Systemd:
    """The socket that receives the notifications."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)

    async def receive(self) -> list[str]:
        """The lines of the next message."""
        async with asyncio.timeout(patient(_TIMEOUT_S)):
            message = await asyncio.get_running_loop().sock_recv(self._socket, 4_096)
        return message.decode().split("\n")

    async def receive_until(self, word: str) -> list[str]:
        """The first lines of the messages, up to the one that is this word."""
        lines = [(await self.receive())[0]]
        while lines[-1] != word:
            lines.append((await self.receive())[0])
        return lines

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    """A socket at `notify` in the test's folder."""
    listener = Systemd(str(tmp_path / "notify"))
    yield listener
    listener.close()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_server_notifies_that_it_is_ready_and_that_it_stops(
    tmp_path: Path, systemd: Systemd, workers: str
) -> None:
    """READY=1 is sent when the server answers, STOPPING=1 at SIGTERM, once each, with any number of
    workers."""
    process = await start(
        *("server.py", "--port", "0", "--data-dir", str(tmp_path / "data"), "--workers", workers),
        NOTIFY_SOCKET=str(tmp_path / "notify"),
    )
    url = await listening_url(process)
    ready = await systemd.receive()
    process.send_signal(signal.SIGTERM)
    stopping = await systemd.receive()
    finished = await finish(process)

    assert ready == ["READY=1", f"STATUS=listening on {url}"]
    assert stopping[0] == "STOPPING=1"
    assert finished.code == 0


async def test_the_watchdog_is_notified(tmp_path: Path, systemd: Systemd) -> None:
    """WATCHDOG=1 is sent twice in each interval, and READY=1 in between."""
    environment = {
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": "40000",
        "WATCHDOG_PID": str(os.getpid()),
    }
    async with ServiceManager(environment) as manager:
        beats = [await systemd.receive() for _ in range(3)]
        manager.ready("http://127.0.0.1:1")
        words = await systemd.receive_until("READY=1")

    assert beats == [["WATCHDOG=1"]] * 3
    assert set(words[:-1]) <= {"WATCHDOG=1"}


async def test_an_abstract_socket_works_too() -> None:
    """systemd may name a socket without a file, as @name."""
    name = f"phoenix-compat-{os.getpid()}"
    systemd = Systemd(f"\0{name}")
    async with ServiceManager({"NOTIFY_SOCKET": f"@{name}"}) as manager:
        manager.stopping()
        words = await systemd.receive()
    systemd.close()

    assert words[0] == "STOPPING=1"


async def test_another_processs_watchdog_is_left_alone(tmp_path: Path, systemd: Systemd) -> None:
    """With the WATCHDOG_PID of another process, no WATCHDOG=1 is sent."""
    environment = {
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": "1000",
        "WATCHDOG_PID": str(os.getppid()),
    }
    async with ServiceManager(environment) as manager:
        await asyncio.sleep(0.02)
        manager.stopping()
        words = await systemd.receive()

    assert words[0] == "STOPPING=1"


async def test_a_lost_notification_is_counted(tmp_path: Path) -> None:
    """A notification that cannot be sent is counted, and raises no error."""
    async with ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "none")}) as manager:
        manager.ready("http://127.0.0.1:1")

    assert manager.lost == 1


@pytest.mark.parametrize(
    "environment",
    [
        {"NOTIFY_SOCKET": "relative"},
        {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "soon"},
    ],
)
def test_an_invalid_environment_is_refused(environment: dict[str, str]) -> None:
    """The error names the variable."""
    with pytest.raises(ConfigError, match=list(environment)[-1]):
        ServiceManager(environment)
