"""NATS servers for tests: one for all, and one of a test's own."""

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
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a NATS server that all tests share; each test needs a prefix of its own."""
    nats = _program()

    def prepare(folder: Path, port: int) -> Start:
        return Start(_command(nats, port), signal.SIGTERM)

    with shared_server(tmp_path_factory, "nats", prepare, _is_ready) as port:
        yield f"nats://127.0.0.1:{port}"


class OwnNats(OwnServer):
    """A NATS server of one test's own, at `url`; `start` it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        command = (*_command(_program(), self.port), *options)
        super().__init__(command, lambda: _is_ready(self.port), folder / "nats.log")


@pytest.fixture
def own_nats(tmp_path: Path) -> Iterator[OwnNats]:
    """A running NATS server of the test's own."""
    server = OwnNats(tmp_path)
    server.start()
    yield server
    server.kill()


def _program() -> str:
    return program("nats-server", "nats-server")


def _command(nats: str, port: int) -> tuple[str, ...]:
    return (nats, "--addr", "127.0.0.1", "--port", str(port))


def _is_ready(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            return connection.recv(5) == b"INFO "
    except OSError:
        return False
