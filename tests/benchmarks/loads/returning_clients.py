"""Many clients that come back as phoenix.js does: `python -m … PORT COUNT SOURCES TASK_ID…`.

Each has a connection of its own and watches a task. When its connection ends or is refused, it
waits as phoenix.js's `reconnectAfterMs` says, connects and joins again. Plain sockets and an epoll,
so that ten thousand need less of a core than their server does.

It reads a command from each line of its standard input, and answers each with a line of JSON:

    join          all connect, a hundred at a time; answers when all are joined and told the state
    return N      they have lost their server, or are about to; the first N who are back send a
                  heartbeat a second until all are; answers when all are joined and told again
    beat SECONDS  each sends a heartbeat in that time, evenly spread; answers when it has passed
    leave         all close; answers when they have
"""

from __future__ import annotations

import errno
import heapq
import json
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from tests.benchmarks.machine import raise_open_file_limit

RECONNECT_S: Final = (0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 2.0)
"""phoenix.js 1.8: `[10, 50, 100, 150, 200, 250, 500, 1000, 2000][tries - 1] || 5000` ms."""
LAST_RECONNECT_S: Final = 5.0
AT_ONCE: Final = 100
BEAT_S: Final = 1.0
LIMIT_S: Final = 60.0

_SPARE_FILES: Final = 100
_READ_BYTES: Final = 64 * 1024
_SHORT, _MEDIUM, _LONG = 125, 126, 127


def reconnect_s(tries: int) -> float:
    """How long phoenix.js waits before this try, the first being 1."""
    return RECONNECT_S[tries - 1] if tries <= len(RECONNECT_S) else LAST_RECONNECT_S


def frame(message: Any) -> bytes:
    """A text frame of a client; its mask is zero, which leaves the text as it is."""
    data = json.dumps(message, separators=(",", ":")).encode()
    assert len(data) <= _SHORT
    return struct.pack("!BBI", 0x81, 0x80 | len(data), 0) + data


class Client:
    """One client."""

    __slots__ = (
        "_clients",
        "_number",
        "_topic",
        "beats",
        "buffer",
        "is_open",
        "is_told",
        "link",
        "tries",
    )

    def __init__(self, clients: Clients, number: int, topic: str) -> None:
        self._clients = clients
        self._number = number
        self._topic = topic
        self.link: socket.socket | None = None
        self.buffer = b""
        self.is_open = self.is_told = False
        self.tries = 0
        self.beats: dict[bytes, float] = {}

    def connect(self) -> None:
        """Begin to connect."""
        self.buffer, self.is_open, self.is_told = b"", False, False
        self.beats.clear()
        link = self.link = socket.socket()
        link.setblocking(False)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sources = self._clients.sources
        if sources:
            link.bind((sources[self._number % len(sources)], 0))
        code = link.connect_ex(("127.0.0.1", self._clients.port))
        if code not in {0, errno.EINPROGRESS}:
            self.lost()
            return
        self._clients.watch(link, self, select.EPOLLOUT)

    def lost(self) -> None:
        """The connection has ended, or could not be made: come back later."""
        if self.link is not None:
            self._clients.forget(self.link)
            self.link.close()
            self.link = None
        if self.is_told:
            self._clients.told -= 1
            self.is_told = False
        self.tries += 1
        self._clients.later(reconnect_s(self.tries), self.connect)

    def ready(self, events: int) -> None:
        """The socket can be written or read."""
        link = self.link
        if link is None:
            return
        try:
            if not self.is_open and events & select.EPOLLOUT:
                code = link.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    self.lost()
                    return
                link.send(self._clients.handshake)
                self._clients.watch(link, self, select.EPOLLIN)
                return
            data = link.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.lost()
            return
        if not data:
            self.lost()
            return
        if not self.is_open:
            self.buffer += data
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self._clients.refusals.append(head[:200].decode(errors="replace"))
                self.lost()
                return
            self.is_open, self.buffer, self.tries = True, rest, 0
            link.send(frame(["1", "1", self._topic, "phx_join", {}]))
            data = b""
        self.heard(data)

    def beat(self) -> None:
        """Send a heartbeat, and note when."""
        if self.link is None or not self.is_told:
            return
        ref = self._clients.next_ref()
        self.beats[b'[null,"%s","phoenix","phx_reply"' % ref] = time.monotonic()
        try:
            self.link.send(frame([None, ref.decode(), "phoenix", "heartbeat", {}]))
        except OSError:
            self.lost()

    def heard(self, data: bytes) -> None:
        """Read frames from the stream."""
        self.buffer += data
        while True:
            buffer = self.buffer
            if len(buffer) < 2:
                return
            length, at = buffer[1], 2
            if length == _MEDIUM:
                length, at = int.from_bytes(buffer[2:4]), 4
            elif length == _LONG:
                length, at = int.from_bytes(buffer[2:10]), 10
            if len(buffer) < at + length:
                return
            payload, self.buffer = buffer[at : at + length], buffer[at + length :]
            self._read(payload, opcode=buffer[0] & 15)

    def _read(self, payload: bytes, opcode: int) -> None:
        if opcode != 1:
            return
        begun_s = self.beats.pop(payload[: payload.find(b",{")], None)
        if begun_s is not None:
            self._clients.waits_s.append(time.monotonic() - begun_s)
        elif b'"progress"' in payload and not self.is_told:
            self.is_told = True
            self._clients.was_told(self)
        elif b'"phx_reply"' in payload and b'"status":"ok"' not in payload:
            self._clients.refusals.append(payload[:200].decode(errors="replace"))


class Clients:
    """All clients of one server.

    Attributes:
        told: how many are joined and were told the state of their task.
        refusals: handshakes and joins that were not accepted.
        waits_s: of the heartbeats that were answered.
    """

    def __init__(self, port: int, count: int, sources: Sequence[str], tasks: Sequence[str]) -> None:
        self.port = port
        self.sources = tuple(sources)
        self.handshake = (
            b"GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n"
        )
        self.told = 0
        self.refusals: list[str] = []
        self.waits_s: list[float] = []
        self._epoll = select.epoll()
        self._by_number: dict[int, Client] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._beating: set[Client] = set()
        self._may_beat = 0
        self._all = [Client(self, n, f"task:{tasks[n % len(tasks)]}") for n in range(count)]

    # For the clients.

    def watch(self, link: socket.socket, client: Client, events: int) -> None:
        """Wait for these events."""
        number = link.fileno()
        if self._by_number.get(number) is client:
            self._epoll.modify(number, events)
        else:
            self._by_number[number] = client
            self._epoll.register(number, events)

    def forget(self, link: socket.socket) -> None:
        """The socket will be closed, which ends the wait."""
        self._by_number.pop(link.fileno(), None)

    def later(self, after_s: float, call: Callable[[], None]) -> None:
        """Call something then."""
        self._count += 1
        heapq.heappush(self._timers, (time.monotonic() + after_s, self._count, call))

    def next_ref(self) -> bytes:
        """A ref that was not used yet."""
        self._count += 1
        return b"%d" % self._count

    def was_told(self, client: Client) -> None:
        """One more is back; the first ones send heartbeats."""
        self.told += 1
        if self._may_beat > 0:
            self._may_beat -= 1
            self._beating.add(client)
            self._beat(client)

    def _beat(self, client: Client) -> None:
        if client in self._beating:
            client.beat()
            self.later(BEAT_S, lambda: self._beat(client))

    # The commands.

    def join(self) -> dict[str, Any]:
        """All connect, a hundred at a time."""
        begin_s = time.monotonic()
        for place in range(0, len(self._all), AT_ONCE):
            some = self._all[place : place + AT_ONCE]
            for client in some:
                client.connect()
            self._until_told(place + len(some))
        return self._found(begin_s)

    def come_back(self, beating: int) -> dict[str, Any]:
        """Wait until all have lost their server, and are back."""
        self._may_beat = beating
        self.waits_s.clear()
        began_s = time.monotonic()
        self._until(lambda: self.told < len(self._all))
        self._until_told(len(self._all))
        found = self._found(began_s)
        self._beating.clear()
        self._until(lambda: not any(client.beats for client in self._all))
        return found | self._beats()

    def beat(self, seconds: float) -> dict[str, Any]:
        """Each sends one heartbeat within so many seconds."""
        self.waits_s.clear()
        began_s = time.monotonic()
        for number, client in enumerate(self._all):
            self.later(seconds * number / len(self._all), client.beat)
        self._until(lambda: time.monotonic() >= began_s + seconds)
        self._until(lambda: not any(client.beats for client in self._all))
        return self._found(began_s) | self._beats()

    def leave(self) -> dict[str, Any]:
        """All close their connections."""
        began_s = time.monotonic()
        self._timers.clear()
        for client in self._all:
            if client.link is not None:
                self.forget(client.link)
                client.link.close()
                client.link = None
            client.is_told = False
            client.tries = 0
        self.told = 0
        return self._found(began_s)

    def _found(self, began_s: float) -> dict[str, Any]:
        refusals, self.refusals = self.refusals, []
        return {
            "told": self.told,
            "took_s": round(time.monotonic() - began_s, 3),
            "at_s": time.monotonic(),
            "refused": len(refusals),
            "first_refusal": refusals[0] if refusals else None,
        }

    def _beats(self) -> dict[str, Any]:
        ordered = sorted(self.waits_s)
        if not ordered:
            return {"beats": 0}
        last = len(ordered) - 1
        return {
            "beats": len(ordered),
            "p50_ms": round(ordered[last // 2] * 1_000, 1),
            "p99_ms": round(ordered[int(last * 0.99)] * 1_000, 1),
            "max_ms": round(ordered[last] * 1_000, 1),
        }

    def _until_told(self, count: int) -> None:
        self._until(lambda: self.told >= count)

    def _until(self, is_reached: Callable[[], bool]) -> None:
        limit_s = time.monotonic() + LIMIT_S
        while not is_reached():
            now_s = time.monotonic()
            if now_s > limit_s:
                raise SystemExit(
                    f"after {LIMIT_S:.0f} s {self.told} of {len(self._all)} are told; "
                    f"{len(self.refusals)} refusals, the first: {self.refusals[:1]}"
                )
            while self._timers and self._timers[0][0] <= now_s:
                heapq.heappop(self._timers)[2]()
            wait_s = min(self._timers[0][0] - now_s, 0.05) if self._timers else 0.05
            for number, events in self._epoll.poll(max(wait_s, 0.0), 1_000):
                client = self._by_number.get(number)
                if client is not None:
                    client.ready(events)


def main(arguments: Sequence[str]) -> None:
    """Do what the lines of the standard input say."""
    port, count, sources, *tasks = arguments
    raise_open_file_limit(int(count) + _SPARE_FILES)
    clients = Clients(int(port), int(count), [one for one in sources.split(",") if one], tasks)
    for line in sys.stdin:
        command, *values = line.split()
        match command, values:
            case "join", []:
                found = clients.join()
            case "return", [beating]:
                found = clients.come_back(int(beating))
            case "beat", [seconds]:
                found = clients.beat(float(seconds))
            case "leave", []:
                found = clients.leave()
            case _:
                raise SystemExit(f"unknown command: {line!r}")
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
