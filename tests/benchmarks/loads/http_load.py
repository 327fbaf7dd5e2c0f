"""Runs of our load generator of HTTP, on the load's core: scripts of requests, answers checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.loads.load import finished
from tests.benchmarks.machine import LOAD_CORE, pinned
from tests.benchmarks.rig import Rig
from tests.benchmarks.servers import Running


@dataclass(frozen=True, slots=True)
class Request:
    """One request, byte for byte, and what its answer must have: a status, and a text."""

    raw: bytes
    status: int
    expect: str


def request(
    method: str, target: str, body: str = "", *, content_type: str = "application/json"
) -> bytes:
    """An HTTP/1.1 request on a kept connection."""
    content = body.encode()
    head = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if method == "POST":
        head += f"Content-Type: {content_type}\r\nContent-Length: {len(content)}\r\n"
    return f"{head}\r\n".encode() + content


def http_load(
    rig: Rig,
    server: Running,
    connections: Sequence[Sequence[Request]],
    *,
    requests: int,
    warmup: int,
) -> dict[str, Any]:
    """Each connection sends its requests in turn, over and over, one at a time.

    Args:
        requests: answers that are measured, of all connections together, after `warmup` others.

    Raises:
        BenchError: an answer was wrong or missing; with what it was.
    """
    script = rig.new_folder() / "script"
    write_script(script, connections)
    own = [rig.tools.httpload, server.port, script, requests, warmup, server.pid]
    return finished(pinned([str(part) for part in own], LOAD_CORE))


def write_script(path: Path, connections: Sequence[Sequence[Request]]) -> None:
    """Write what httpload.c reads."""
    with path.open("wb") as file:
        for requests in connections:
            file.write(b"connection\n")
            for one in requests:
                file.write(f"request {one.status} {len(one.raw)} {one.expect}\n".encode())
                file.write(one.raw + b"\n")
