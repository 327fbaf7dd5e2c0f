"""Connected clients that do little: `python -m tests.benchmarks.loads.joined_sockets PORT COUNT`.

Each joins a topic of its own, `room:NUMBER`, sends heartbeats and reads what comes.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
from typing import Any, Final

from tests.benchmarks.loads.until_told import run_until_told, say_that_it_works
from tests.benchmarks.machine import raise_open_file_limit

HEARTBEAT_EVERY_S: Final = 20.0
AT_ONCE: Final = 50

_SPARE_FILES: Final = 100
_HANDSHAKE: Final = (
    b"GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)
_SHORT_BYTES: Final = 126


class _Client(asyncio.Protocol):
    """One client.

    Attributes:
        joined: done when the join was accepted; an error if the connection ends before.
    """

    def __init__(self, number: int) -> None:
        self.joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._number = number
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(_HANDSHAKE)

    def data_received(self, data: bytes) -> None:
        if self.joined.done():
            return
        is_open = b"\r\n\r\n" in self._received
        self._received += data
        if not is_open and b"\r\n\r\n" in self._received:
            self.send(["1", "1", f"room:{self._number}", "phx_join", {}])
        if b'"phx_reply"' in self._received:
            if b'"ok"' not in self._received:
                self._fail()
            else:
                self.joined.set_result(None)
            self._received = b""

    def connection_lost(self, error: Exception | None) -> None:
        del error
        self._fail()

    def send(self, message: Any) -> None:
        """Send a short message; its mask is zero, which leaves it as it is."""
        data = json.dumps(message, separators=(",", ":")).encode()
        assert len(data) < _SHORT_BYTES
        self._transport.write(struct.pack("!BBI", 0x81, 0x80 | len(data), 0) + data)

    def _fail(self) -> None:
        problem = f"client {self._number} was closed: {self._received[-300:]!r}"
        if self.joined.done():
            raise SystemExit(problem)
        self.joined.set_exception(ConnectionError(problem))


async def stay_joined(port: int, count: int) -> None:
    """Connect and join, then stay."""
    loop = asyncio.get_running_loop()
    free = asyncio.Semaphore(AT_ONCE)

    async def join(number: int) -> _Client:
        async with free:
            _, client = await loop.create_connection(lambda: _Client(number), "127.0.0.1", port)
            await client.joined
            return client

    clients = await asyncio.gather(*map(join, range(count)))
    say_that_it_works()
    while True:
        for client in clients:
            await asyncio.sleep(HEARTBEAT_EVERY_S / count)
            client.send([None, "2", "phoenix", "heartbeat", {}])


if __name__ == "__main__":
    raise_open_file_limit(int(sys.argv[2]) + _SPARE_FILES)
    run_until_told(stay_joined(int(sys.argv[1]), int(sys.argv[2])))
