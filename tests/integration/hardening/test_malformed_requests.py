"""Requests that cannot be read, and clients that go away: everyday news, in little work."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
import struct
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from phoenix_compat.emulator import Emulator, EmulatorSettings
from phoenix_compat.http_server import AppRunner
from tests.conftest import Serve
from tests.integration.echo_app import OpenChannel
from tests.integration.hardening.besieged import Besieged, besieged, serve_in
from tests.polling import LP_V2, Poller, longpoll_app
from tests.serving import accepting

_HOST = b"Host: localhost\r\n"
_CLOSE = b"Connection: close\r\n"
_POST = b"POST /api/tasks HTTP/1.1\r\n" + _HOST + _CLOSE + b"Content-Type: application/json\r\n"
_BROKEN_GZIP = b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde"

MALFORMED: Mapping[str, bytes] = {
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "bad method": b"G\x01T / HTTP/1.1\r\n" + _HOST + b"\r\n",
    "brotli": _POST + b"Content-Encoding: br\r\nContent-Length: 5\r\n\r\nabcde",
    "broken gzip": _POST + _BROKEN_GZIP,
    "bad chunk": _POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
    "broken off": _POST + b'Content-Length: 500\r\n\r\n{"input',
}
ODD: Mapping[str, bytes] = {
    "long header": b"GET / HTTP/1.1\r\n" + _HOST + b"X: " + b"y" * 20_000 + b"\r\n\r\n",
    "long line": b"GET /" + b"y" * 20_000 + b" HTTP/1.1\r\n" + _HOST + b"\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 200,
    "bad url": b"GET http://[::1 HTTP/1.1\r\n" + _HOST + b"\r\n",
    "two lengths": _POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": _POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    "bad header": b"GET / HTTP/1.1\r\n" + _HOST + b"A\x00: \x1b[2J\r\n\r\n",
    "http 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "escapes": b"G\x1b[2JET /\x1b[2J HTTP/1.1\r\n" + _HOST + b"\r\n",
}
_GOOD = b"GET /api/tasks/none HTTP/1.1\r\n" + _HOST + _CLOSE + b"\r\n"


def status_of(answer: bytes) -> int:
    """The status of an answer; 0 when there is none."""
    return int(answer.split(b" ", 2)[1]) if answer else 0


def answers_of(server: Besieged, requests: Iterable[bytes]) -> list[bytes]:
    """Send each on a connection of its own; blocking."""
    return [server.say(request, is_broken_off=request.endswith(b'{"input')) for request in requests]


async def test_each_costs_no_more_than_twice_a_get(tmp_path: Path) -> None:
    """S2: 600 malformed requests of six kinds cost at most twice 600 GETs on new
    connections.
    """
    async with besieged(tmp_path, *serve_in(tmp_path)) as server:
        requests = list(MALFORMED.values())
        await asyncio.to_thread(answers_of, server, [_GOOD, *requests] * 10)  # all is loaded now

        begun = server.cpu_s()
        good = await asyncio.to_thread(answers_of, server, [_GOOD] * 600)
        between = server.cpu_s()
        refused = await asyncio.to_thread(answers_of, server, requests * 100)
        ended = server.cpu_s()

    assert {status_of(answer) for answer in good} == {404}
    assert {status_of(answer) for answer in refused} <= {0, 400, 415}
    assert ended - between <= 2 * (between - begun)
    assert server.log_bytes == 0


async def test_each_is_one_line_for_debugging(quiet: Besieged) -> None:
    """No traceback, nothing above debug; the answer is short and tells nothing of aiohttp."""
    for kind, request in {**MALFORMED, **ODD}.items():
        before = len(quiet.log_text())

        [answer] = await asyncio.to_thread(answers_of, quiet, [request])
        await quiet.health_s(1)  # behind it, all is logged

        lines = quiet.log_text()[before:].splitlines()
        assert len(lines) <= 1, (kind, lines)
        assert all("[debug" in line and "\x1b" not in line for line in lines), (kind, lines)
        assert status_of(answer) in {0, 400, 415}, kind
        assert len(answer.partition(b"\r\n\r\n")[2]) < 250, kind
        assert b"aiohttp" not in answer.lower(), kind
        assert b"Traceback" not in answer, kind


async def test_encoded_bodies_are_refused(quiet: Besieged) -> None:
    """415 with what would be taken, whatever the encoding, and even if it is sound."""
    body = gzip.compress(json.dumps({"input_data": {"type": "image", "prompt": "x"}}).encode())
    async with aiohttp.ClientSession() as http:
        for path in ("/api/tasks", "/api/elsewhere"):
            for encoding in ("gzip", "deflate", "br", "zstd", "GZip", "gzip, br", "x"):
                headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
                async with http.post(quiet.url + path, data=body, headers=headers) as answer:
                    document = await answer.json(content_type=None)

                assert answer.status == document["status"] == 415, encoding
                assert document["type"] == "urn:phoenix-compat:problem:unsupported-media-type"
                assert answer.headers["Accept-Encoding"] == "identity"


async def test_identity_is_no_encoding(quiet: Besieged) -> None:
    """A body that is said to be as it is, is."""
    headers = {"Content-Encoding": "identity"}
    order = {"input_data": {"type": "image", "prompt": "x"}}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{quiet.url}/api/tasks", json=order, headers=headers) as answer,
    ):
        assert answer.status == 202


async def test_a_client_that_goes_away(quiet: Besieged) -> None:
    """Reset in the middle of its body: no traceback and no crash."""
    host, _, port = quiet.url.removeprefix("http://").partition(":")

    def reset() -> None:
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(MALFORMED["broken off"])
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    for _ in range(20):
        await asyncio.to_thread(reset)
    await quiet.health_s(5)

    assert "crashed" not in quiet.log_text()
    assert "Traceback" not in quiet.log_text()


@pytest.fixture
async def quiet(tmp_path: Path) -> AsyncIterator[Besieged]:
    """A server that logs everything."""
    async with besieged(tmp_path, *serve_in(tmp_path, "--log-level", "debug")) as server:
        yield server


async def test_the_emulator_answers_them_too(caplog: pytest.LogCaptureFixture) -> None:
    """Replicate's emulator stands on the same server."""
    caplog.set_level(logging.DEBUG)
    async with Emulator(EmulatorSettings()) as emulator:
        server = Besieged(0, emulator.origin, Path())
        requests = [
            request.replace(b"/api/tasks", b"/v1/predictions")
            for request in (*MALFORMED.values(), *ODD.values())
        ]
        answers = await asyncio.to_thread(answers_of, server, requests)

    assert {status_of(answer) for answer in answers} <= {0, 400, 401}
    assert [record for record in caplog.records if record.exc_info] == []


async def test_a_bug_is_still_told(caplog: pytest.LogCaptureFixture) -> None:
    """An error of a handler is 500 and logged with its traceback: a client's fault it is not."""

    async def crash(_request: web.Request) -> web.Response:
        raise ConnectionResetError("by somebody whom the handler asked")

    app = web.Application()
    app.router.add_get("/", crash)
    runner = AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession() as http, http.get(f"http://{host}:{port}/") as answer:
            assert answer.status == 500
            assert "aiohttp" not in answer.headers["Server"]
    finally:
        await runner.cleanup()

    [record] = [record for record in caplog.records if record.exc_info]
    assert record.levelno == logging.ERROR


@pytest.mark.parametrize(
    "body", [b"abcde", gzip.compress(b'["1","1","room:a","phx_join",{}]', mtime=0)]
)
async def test_long_polling_in_an_application_of_ones_own(
    serve: Serve, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    """aiohttp's own server inflates: a compressed message is refused, broken or not, and no
    traceback is logged."""
    url = await serve(longpoll_app(accepting({"room:*": OpenChannel})))
    poller = await Poller.open(url, LP_V2)
    server = Besieged(0, url, Path())
    head = (
        f"POST {LP_V2}&token={poller.token} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    )

    answer = await asyncio.to_thread(server.say, head.encode() + body)

    assert status_of(answer) == 415
    assert [record for record in caplog.records if record.exc_info] == []
