"""A load generator that uses little CPU: echoes, with many in flight on each connection.

    python -m tests.benchmarks.loads.pipelined PORT [--connections N] [--depth D] [--seconds S]

A connection sends D echoes in one write, waits for the D replies, and repeats that. The requests
and the expected replies are prepared in advance, so a whole answer is checked with one comparison
of bytes: a round costs this process a few system calls, and the server D messages. It prints one
JSON line.
"""

# ruff: noqa: T201 - the result is printed

from __future__ import annotations

import argparse
import json
import selectors
import socket
import time
from contextlib import ExitStack
from typing import Any

from phoenix_compat.conformance.suite.cases import compact_json
from phoenix_compat.conformance.suite.wire_client import (
    build_request,
    encode_frame,
    upgrade_headers,
)
from tests.benchmarks.benchmark import BenchmarkError

_TARGET = "/socket/websocket?vsn=2.0.0"
_TOPIC = "room:bench"
_PAYLOAD = {"filler": "x" * 32}
_TIMEOUT_S = 20.0
_WARMUP_S = 1.0


class Pipeline:
    """One client with `depth` echoes in flight."""

    def __init__(self, connected: socket.socket, depth: int) -> None:
        refs = [str(1000 + number) for number in range(depth)]
        self._requests = b"".join(
            encode_frame(compact_json(["1", ref, _TOPIC, "echo", _PAYLOAD])) for ref in refs
        )
        self._replies = b"".join(_reply(ref, _PAYLOAD) for ref in refs)
        self._received = bytearray()
        self.socket = connected
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ask(build_request("GET", _TARGET, upgrade_headers("localhost")), b"\r\n\r\n")
        self._ask(encode_frame(compact_json(["1", "1", _TOPIC, "phx_join", {}])), b'"ok"}]')

    def _ask(self, request: bytes, end: bytes) -> None:
        self.socket.sendall(request)
        answer = b""
        while not answer.endswith(end):
            data = self.socket.recv(4096)
            if not data:
                raise BenchmarkError(f"the server closed the connection after {answer!r}")
            answer += data

    def send(self) -> None:
        """Start a round."""
        self.socket.sendall(self._requests)

    def receive(self) -> bool:
        """Read what has arrived. Returns True when the round is complete.

        Raises:
            BenchmarkError: the replies differ from the expected bytes.
        """
        data = self.socket.recv(1 << 20)
        self._received += data
        if data and len(self._received) < len(self._replies):
            return False
        if self._received != self._replies:
            raise BenchmarkError(f"the server answered {bytes(self._received[:200])!r}…")
        self._received.clear()
        return True


def _reply(ref: str, payload: Any) -> bytes:
    body = {"response": payload, "status": "ok"}
    return encode_frame(compact_json(["1", ref, _TOPIC, "phx_reply", body]), mask=None)


def run(port: int, connections: int, depth: int, seconds: float) -> dict[str, Any]:
    """Run the load. Returns the echoes per second and the CPU use of this process.

    Raises:
        BenchmarkError: the server closed a connection, gave a wrong answer, or none for 20 s.
    """
    address = ("127.0.0.1", port)
    with selectors.DefaultSelector() as selector, ExitStack() as sockets:
        for _ in range(connections):
            connected = sockets.enter_context(socket.create_connection(address, _TIMEOUT_S))
            selector.register(connected, selectors.EVENT_READ, Pipeline(connected, depth))
        for key in selector.get_map().values():
            key.data.send()
        _rounds(selector, _WARMUP_S)
        began_s, cpu_began_s = time.perf_counter(), time.process_time()
        rounds = _rounds(selector, seconds)
        took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_began_s
    return {
        "work": f"echo, {depth} in flight on each of {connections} connections",
        "ops": rounds * depth,
        "ops_per_s": round(rounds * depth / took_s, 1),
        "client_cpu_pct": round(100 * cpu_s / took_s, 1),
    }


def _rounds(selector: selectors.BaseSelector, seconds: float) -> int:
    end_s, rounds = time.perf_counter() + seconds, 0
    while time.perf_counter() < end_s:
        ready = selector.select(_TIMEOUT_S)
        if not ready:
            raise BenchmarkError(f"the server sent nothing for {_TIMEOUT_S:g} s")
        for key, _ in ready:
            if key.data.receive():
                rounds += 1
                key.data.send()
    return rounds


def main() -> None:
    """Run the load against a port."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("port", type=int)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--depth", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    try:
        found = run(options.port, options.connections, options.depth, options.seconds)
    except (BenchmarkError, OSError) as error:
        raise SystemExit(f"Error: {error}") from error
    print(json.dumps(found))


if __name__ == "__main__":
    main()
