"""What systemd is told, over a real datagram socket."""

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

_PATIENCE_S = 30.0


class Systemd:
    """The socket that a service talks to."""

    def __init__(self, address: str) -> None:
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.bind(address)
        self._line.setblocking(False)

    async def heard(self) -> list[str]:
        """The lines of the next message."""
        async with asyncio.timeout(patient(_PATIENCE_S)):
            message = await asyncio.get_running_loop().sock_recv(self._line, 4_096)
        return message.decode().split("\n")

    async def heard_until(self, word: str) -> list[str]:
        """The first lines of the messages up to the one that begins with this word."""
        words = [(await self.heard())[0]]
        while words[-1] != word:
            words.append((await self.heard())[0])
        return words

    def close(self) -> None:
        self._line.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    """A socket at `notify` in the test's folder."""
    listener = Systemd(str(tmp_path / "notify"))
    yield listener
    listener.close()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_server_tells_when_it_is_ready_and_when_it_stops(
    tmp_path: Path, systemd: Systemd, workers: str
) -> None:
    """READY=1 comes when the server answers, STOPPING=1 at SIGTERM, once each, from any number of
    workers."""
    process = await start(
        *("server.py", "--port", "0", "--data-dir", str(tmp_path / "data"), "--workers", workers),
        NOTIFY_SOCKET=str(tmp_path / "notify"),
    )
    url = await listening_url(process)
    ready = await systemd.heard()
    process.send_signal(signal.SIGTERM)
    stopping = await systemd.heard()
    finished = await finish(process)

    assert ready == ["READY=1", f"STATUS=listening on {url}"]
    assert stopping[0] == "STOPPING=1"
    assert finished.code == 0


async def test_the_watchdog_hears_that_the_loop_lives(tmp_path: Path, systemd: Systemd) -> None:
    """WATCHDOG=1 comes twice in each interval, and READY=1 between."""
    environment = {
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": "40000",
        "WATCHDOG_PID": str(os.getpid()),
    }
    async with ServiceManager(environment) as manager:
        beats = [await systemd.heard() for _ in range(3)]
        manager.ready("http://127.0.0.1:1")
        words = await systemd.heard_until("READY=1")

    assert beats == [["WATCHDOG=1"]] * 3
    assert set(words[:-1]) <= {"WATCHDOG=1"}


async def test_an_abstract_socket_is_told_too() -> None:
    """systemd may name a socket without a file, as @name."""
    name = f"phoenix-compat-{os.getpid()}"
    systemd = Systemd(f"\0{name}")
    async with ServiceManager({"NOTIFY_SOCKET": f"@{name}"}) as manager:
        manager.stopping()
        words = await systemd.heard()
    systemd.close()

    assert words[0] == "STOPPING=1"


async def test_another_processs_watchdog_is_left_alone(tmp_path: Path, systemd: Systemd) -> None:
    """WATCHDOG_PID of another process: nothing is said until there is something to say."""
    environment = {
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": "1000",
        "WATCHDOG_PID": str(os.getppid()),
    }
    async with ServiceManager(environment) as manager:
        await asyncio.sleep(0.02)
        manager.stopping()
        words = await systemd.heard()

    assert words[0] == "STOPPING=1"


async def test_a_socket_that_is_gone_is_counted_and_serving_goes_on(tmp_path: Path) -> None:
    """What cannot be told is counted, and no error reaches the server."""
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
def test_an_environment_that_systemd_does_not_make_is_refused(environment: dict[str, str]) -> None:
    """The error names the variable."""
    with pytest.raises(ConfigError, match=list(environment)[-1]):
        ServiceManager(environment)
