"""Redis servers for tests: one for all, and one of a test's own."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.own import OwnServer
from tests.services.programs import free_port, program
from tests.services.shared import Start, shared_server


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis server that all tests share; each test needs a prefix of its own."""
    redis = _program()

    def prepare(folder: Path, port: int) -> Start:
        return Start(_command(redis, folder, port), signal.SIGTERM)

    with shared_server(tmp_path_factory, "redis", prepare, _is_ready) as port:
        yield f"redis://127.0.0.1:{port}"


class OwnRedis(OwnServer):
    """A Redis server of one test's own, at `url`; `start` it.

    Args:
        options: further options of redis-server, such as `"--requirepass", "secret"`.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        command = (*_command(_program(), folder, self.port), *options)
        super().__init__(command, lambda: _is_ready(self.port), folder / "redis.log")

    def command(self, *words: str) -> str:
        """Run a command, and return what the server answers, at most 64 KiB of it. Blocks."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall((" ".join(words) + "\r\n").encode())
            return connection.recv(2**16).decode()

    def client_ids(self) -> set[str]:
        """The ids of its clients, without the one that asks. Blocks."""
        clients = [line.split() for line in self.command("CLIENT", "LIST").splitlines()]
        return {words[0] for words in clients if words and "id=" in words[0] and not _asks(words)}


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    """A running Redis server of the test's own."""
    server = OwnRedis(tmp_path)
    server.start()
    yield server
    server.kill()


def _asks(client: list[str]) -> bool:
    return any(word.startswith("cmd=client") and "reply" not in word for word in client)


def _program() -> str:
    return program("redis-server", "redis-server")


def _command(redis: str, folder: Path, port: int) -> tuple[str, ...]:
    options = {"bind": "127.0.0.1", "port": str(port), "dir": str(folder), "appendonly": "no"}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return (redis, *words, "--save", "")


def _is_ready(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            # One with a password answers that it wants it, and one with TLS nothing.
            return connection.recv(16).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False
