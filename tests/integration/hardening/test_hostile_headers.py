"""S13: whatever bytes stand in headers and targets, the answer is never a 500."""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from tests.integration.hardening.besieged import Besieged, besieged, serve_in
from tests.patience import patient

HEADERS: Final = (
    "Accept-Encoding",
    "Access-Control-Request-Headers",
    "Access-Control-Request-Method",
    "Authorization",
    "Connection",
    "Content-Encoding",
    "Content-Type",
    "Cookie",
    "Expect",
    "Forwarded",
    "Host",
    "Idempotency-Key",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Origin",
    "Range",
    "Sec-Fetch-Site",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Version",
    "Traceparent",
    "Upgrade",
    "User-Agent",
    "X-Forwarded-For",
    "X-Owner",
    "X-Phoenix-AuthToken",
    "X-Phoenix-Longpoll-Token",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
)
VALUES: Final = (
    *(b"\xff", b'W/"\xff"', b"phoenix, base64url.bearer.phx.YQ, \xff", b"http://\xff:\xff"),
    *(b"Sun, 06 Nov 99999999999999 08:49:37 GMT", b"bytes=99999999999999999999999999-"),
    *(b"text/plain; charset=nonsense", b"http://[", b"9" * 5_000, b'"' + b"," * 2_000),
)
TARGETS: Final = (
    *("GET /", "GET /healthz", "GET /readyz", "GET /api/tasks", "POST /api/tasks"),
    *("GET /api/tasks/x/events", "OPTIONS /api/tasks", "GET /files/{}.png", "GET {}"),
    *("POST /webhooks/replicate?task=t&tag=x", "GET /socket/websocket?vsn=2.0.0"),
    *(f"{method} /socket/longpoll?vsn=2.0.0" for method in ("GET", "POST", "OPTIONS")),
)
PATHS: Final = (
    "/api/tasks/%FF",
    "/api/tasks/\xff",
    "/api/tasks/%ED%A0%80",
    "/api/tasks/%00",
    "/api/tasks?limit=%FF",
    "/api/tasks?cursor=99999999999999999999999",
    "/api/tasks/%ff/events?after=%ff",
    "/api/tasks?%",
    "//api/tasks",
    "/api/tasks/%ff/cancel",
    "/api/tasks/%ff/retry",
    "/files/%FF.png",
    "/files/%00",
    "/files/\xff",
    "/%61pi/tasks",
    "/webhooks/replicate?task=%FF&tag=%FF",
    "/webhooks/replicate?task=\xff&tag=\xff",
    "/api%2ftasks",
    "?",
    "*",
    "/socket/longpoll?vsn=%FF",
    "/socket/websocket?vsn=%FF",
    "/socket/longpoll?token=%FF",
    "/socket/\xff",
    "http://127.0.0.1/api/tasks",
    "http://[/api/tasks",
    "http://a:99999999/api/tasks",
    "/api/tasks/..%2f..",
    "/?\xff",
)
JSON: Final = b'{"input_data": {"type": "image", "prompt": "monk"}}'


def request(target: str, header: str = "", value: bytes = b"") -> bytes:
    """A request that is fine except for one header or its target."""
    headers = {"Host": b"127.0.0.1", "Connection": b"close"}
    body = JSON if target.startswith("POST") else b""
    if body:
        headers["Content-Type"] = b"application/json"
    if "websocket" in target:
        headers |= {"Connection": b"Upgrade", "Upgrade": b"websocket"}
        headers |= {"Sec-WebSocket-Key": b"A" * 22 + b"==", "Sec-WebSocket-Version": b"13"}
    if header:
        headers[header] = value
    lines = [f"{target} HTTP/1.1".encode("latin-1")]
    lines += [name.encode() + b": " + value for name, value in headers.items()]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


def requests(file: str) -> Iterator[bytes]:
    """All of them; `file` is the path of a file that exists."""
    targets = [target.format(file if target == "GET {}" else "0" * 64) for target in TARGETS]
    for target, header, value in itertools.product(targets, HEADERS, VALUES):
        yield request(target, header, value)
    for method, path in itertools.product(("GET", "POST"), PATHS):
        yield request(f"{method} {path}")


def stored_file(server: Besieged) -> str:
    """Order a picture and return the path of its file; blocking."""
    post = urllib.request.Request(  # noqa: S310 - our own server
        f"{server.url}/api/tasks", JSON, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(post) as answer:  # noqa: S310 - the same
        task = f"{server.url}{answer.headers['Location']}"
    ends_s = time.monotonic() + patient(20)
    while time.monotonic() < ends_s:
        with urllib.request.urlopen(task) as answer:  # noqa: S310 - the same
            found = re.search(r"/files/[0-9a-f]{64}\.[a-z]+", answer.read().decode())
        if found is not None:
            return found.group()
        time.sleep(0.02)
    raise AssertionError("the task was not completed")


def is_fine(sent: bytes, answer: bytes) -> bool:
    """Whether it is answered, and not with a 5xx. Phoenix has one 500, for a broken auth token."""
    status = int(answer.split(b" ", 2)[1])
    return status < 500 or (status == 500 and b"base64url.bearer.phx." in sent)


@pytest.mark.parametrize(("workers", "step"), [(1, 1), (2, 3)])
async def test_no_header_and_no_target_makes_a_500(tmp_path: Path, workers: int, step: int) -> None:
    """Nothing is logged as an error but what Phoenix logs so, and nothing has a traceback.

    With two processes every third request is sent; about half of them are forwarded.
    """
    arguments = serve_in(tmp_path, "--log-level", "debug", "--workers", str(workers))
    environment = {"PHOENIX_COMPAT_EMULATOR_SPEED": "100", "PUBLIC_URL": "http://127.0.0.1:9"}
    async with besieged(tmp_path, *arguments, **environment) as server:

        def refused() -> list[tuple[bytes, bytes]]:
            sent_ones = itertools.islice(requests(stored_file(server)), None, None, step)
            answers = ((sent, first_line(server, sent)) for sent in sent_ones)
            return [(sent, line) for sent, line in answers if not is_fine(sent, line)]

        bad = await asyncio.to_thread(refused)
        await server.health_s(1)
        log = server.log_text()

    assert bad == []
    assert "Traceback" not in log
    assert not re.findall(r"\[(?:error|critical) *\] (?!Could not check )", log)


def first_line(server: Besieged, sent: bytes) -> bytes:
    """The status line of the answer."""
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname, place.port), timeout=patient(15)) as connection:
        connection.sendall(sent)
        answer = b""
        while b"\r\n" not in answer:
            data = connection.recv(4_096)
            assert data, sent
            answer += data
    return answer.partition(b"\r\n")[0]
