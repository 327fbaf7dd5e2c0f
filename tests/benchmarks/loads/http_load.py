"""Runs our load generator for HTTP, which sends prepared requests and checks each response."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.context import BenchmarkContext
from tests.benchmarks.loads.load import finished
from tests.benchmarks.machine import LOAD_CORE, pinned
from tests.benchmarks.servers import Running


@dataclass(frozen=True, slots=True)
class Request:
    """A request as bytes, with the status and a text that its response must have."""

    raw: bytes
    status: int
    expect: str


def request(
    method: str,
    target: str,
    body: str = "",
    *,
    content_type: str = "application/json",
    credential: str | None = None,
) -> bytes:
    """An HTTP/1.1 request as bytes, for a persistent connection."""
    content = body.encode()
    head = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if credential is not None:
        head += f"Authorization: Bearer {credential}\r\n"
    if method == "POST":
        head += f"Content-Type: {content_type}\r\nContent-Length: {len(content)}\r\n"
    return f"{head}\r\n".encode() + content


def http_load(
    context: BenchmarkContext,
    server: Running,
    connections: Sequence[Sequence[Request]],
    *,
    requests: int,
    warmup: int,
) -> dict[str, Any]:
    """Each connection sends its requests repeatedly, one at a time.

    Args:
        requests: how many responses of all connections are measured, after `warmup` others.

    Raises:
        BenchmarkError: a response was wrong or missing; the text shows it.
    """
    script = context.new_folder() / "script"
    write_script(script, connections)
    own = [context.tools.httpload, server.port, script, requests, warmup, server.pid]
    return finished(pinned([str(part) for part in own], LOAD_CORE))


def write_script(path: Path, connections: Sequence[Sequence[Request]]) -> None:
    """Write the script that httpload.c reads."""
    with path.open("wb") as file:
        for requests in connections:
            file.write(b"connection\n")
            for one in requests:
                file.write(f"request {one.status} {len(one.raw)} {one.expect}\n".encode())
                file.write(one.raw + b"\n")
