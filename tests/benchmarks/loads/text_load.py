"""Echoes and fan-outs over websockets, for servers of Phoenix's protocol and of Socket.IO's.

One process plays all clients with aiohttp. It is slower than the servers, so the figure is what the
server needs: messages per second of its processor time.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, Protocol

import aiohttp

from tests.benchmarks.benchmark import BenchmarkError

_READ_S: Final = 20.0


class WireProtocol(Protocol):
    """What one client writes, and which messages it waits for."""

    path: str

    async def open(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Connect and join."""

    def echo(self, number: int) -> tuple[str, str]:
        """A message, and how its reply begins."""

    def broadcast(self, number: int) -> tuple[str, str]:
        """A message for all clients, and how what they get begins."""


class Phoenix:
    """Channels, version 2."""

    path = "/socket/websocket?vsn=2.0.0"

    async def open(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """See WireProtocol."""
        await socket.send_str('["1","1","room:a","phx_join",{}]')
        await socket.receive_str(timeout=_READ_S)

    def echo(self, number: int) -> tuple[str, str]:
        """See WireProtocol."""
        payload = json.dumps({"n": number, "text": "x" * 32})
        return f'["1","{number}","room:a","echo",{payload}]', f'["1","{number}"'

    def broadcast(self, number: int) -> tuple[str, str]:
        """See WireProtocol."""
        payload = json.dumps({"n": number, "text": "x" * 64})
        return f'["1","{number}","room:a","broadcast",{payload}]', "[null"


class SocketIO:
    """Socket.IO 5 on Engine.IO 4, over websocket only."""

    path = "/socket.io/?EIO=4&transport=websocket"

    async def open(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """See WireProtocol."""
        await socket.receive_str(timeout=_READ_S)
        await socket.send_str("40")
        await socket.receive_str(timeout=_READ_S)

    def echo(self, number: int) -> tuple[str, str]:
        """See WireProtocol."""
        payload = json.dumps({"n": number, "text": "x" * 32})
        return f'42{number}["echo",{payload}]', f"43{number}"

    def broadcast(self, number: int) -> tuple[str, str]:
        """See WireProtocol."""
        payload = json.dumps({"n": number, "text": "x" * 64})
        return f'42["broadcast",{payload}]', "42"


def echoes_per_cpu_second(port: int, pid: int, protocol: WireProtocol, count: int) -> float:
    """Echoes of 20 clients, one after another each."""
    return asyncio.run(_measured(port, pid, protocol, 20, count, _echo))


def deliveries_per_cpu_second(port: int, pid: int, protocol: WireProtocol, count: int) -> float:
    """Deliveries of broadcasts to 100 clients, one broadcast after another."""
    return asyncio.run(_measured(port, pid, protocol, 100, count, _fan_out))


Sockets = list[aiohttp.ClientWebSocketResponse]
Work = Callable[[Sockets, WireProtocol, int], Coroutine[Any, Any, None]]


async def _measured(  # noqa: PLR0917 - of one module
    port: int, pid: int, protocol: WireProtocol, clients: int, count: int, work: Work
) -> float:
    async with aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{port}{protocol.path}"
        sockets = [await http.ws_connect(url, compress=0) for _ in range(clients)]
        for socket in sockets:
            await protocol.open(socket)
        await work(sockets, protocol, max(count // 10, clients))
        begun_s = _processor_s(pid)
        await work(sockets, protocol, count)
        took_s = _processor_s(pid) - begun_s
        for socket in sockets:
            await socket.close()
    if took_s <= 0:
        raise BenchmarkError("the server took no processor time; measure more messages")
    return count / took_s


_numbers = itertools.count(2)


async def _echo(sockets: Sockets, protocol: WireProtocol, count: int) -> None:
    async def one(socket: aiohttp.ClientWebSocketResponse) -> None:
        for _ in range(count // len(sockets)):
            message, begins = protocol.echo(next(_numbers))
            await socket.send_str(message)
            await _read(socket, begins)

    await asyncio.gather(*map(one, sockets))


async def _fan_out(sockets: Sockets, protocol: WireProtocol, count: int) -> None:
    for _ in range(count // len(sockets)):
        message, begins = protocol.broadcast(next(_numbers))
        await sockets[0].send_str(message)
        await asyncio.gather(*(_read(socket, begins) for socket in sockets))


async def _read(socket: aiohttp.ClientWebSocketResponse, begins: str) -> None:
    """Read up to the message that begins so; replies to broadcasts are skipped."""
    while not (await socket.receive_str(timeout=_READ_S)).startswith(begins):
        pass


def _processor_s(pid: int) -> float:
    """The processor time of a process with one thread, in seconds."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9
