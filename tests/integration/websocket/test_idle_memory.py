"""The memory of an idle, joined connection."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from phoenix_compat.conformance.suite.cases import compact_json
from tests.integration.operations.commands import server

CONNECTIONS = 1_000
MAX_BYTES = 5_000
_HANDSHAKE = (
    b"GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@contextmanager
def joined(url: str) -> Iterator[None]:
    """A blocking, minimal connection that has joined a topic."""
    text = compact_json(["1", "1", "room:lobby", "phx_join", {}]).encode()
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port or 0)) as client:
        client.sendall(_HANDSHAKE)
        assert client.recv(4096).startswith(b"HTTP/1.1 101")
        client.sendall(bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text)
        assert b"phx_reply" in client.recv(4096)
        yield


def resident_bytes(pid: int) -> int:
    """The resident memory of a process in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc, which is Linux's")
async def test_an_idle_joined_connection_costs_under_5_kb() -> None:
    """1 000 idle joined connections cost under 5 KB of resident memory each."""
    command = ("-m", "phoenix_compat", "conformance", "serve", "--port", "0")
    async with server(*command) as (process, url):
        with ExitStack() as clients:
            clients.enter_context(joined(url))
            before = resident_bytes(process.pid)
            for _ in range(CONNECTIONS):
                clients.enter_context(joined(url))

            each = (resident_bytes(process.pid) - before) / CONNECTIONS

    assert each < MAX_BYTES
