"""The TCP connection of a websocket: the same behaviour with epoll, with asyncio, and over TLS."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import pytest

from phoenix_compat import Endpoint, HandleResult, Limits, Socket, ok, on
from phoenix_compat.conformance.reference import RoomChannel, build_reference_app
from phoenix_compat.conformance.suite.cases import compact_json
from phoenix_compat.conformance.suite.runner import load_suite, run_cases
from phoenix_compat.conformance.suite.wire_client import encode_close, encode_frame
from phoenix_compat.runtime.socket_server import SocketServer
from phoenix_compat.transports.aiohttp import poller
from tests.certificate import server_context, write_certificate
from tests.conftest import Open
from tests.integration.echo_app import OpenChannel
from tests.patience import patient
from tests.serving import accepting, serving, socket_app
from tests.wire import OK, PhoenixWire

ServeEndpoint = Callable[..., Awaitable[str]]

CASES = [case for case in load_suite() if case.recorded_as and case.transport == "websocket"]
PROGRESS_BYTES = 2_000


@pytest.fixture(params=["epoll", "asyncio", "tls"])
async def serve_endpoint(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[ServeEndpoint]:
    """Serve the room channels of an endpoint, on each kind of stream."""
    context = None
    if request.param == "tls":
        certificate = write_certificate(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        context = server_context(certificate)
    elif request.param == "asyncio":
        monkeypatch.setattr(poller, "IS_AVAILABLE", False)
    async with AsyncExitStack() as servers:

        async def serve(endpoint: Endpoint, channel: type[Any] = RoomChannel) -> str:
            app = socket_app(accepting({"room:*": channel}), endpoint=endpoint)
            return await servers.enter_async_context(serving(app, context))

        yield serve


async def test_all_recorded_conversations_without_epoll(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorded conversations of Phoenix also pass on asyncio's own transports."""
    monkeypatch.setattr(poller, "IS_AVAILABLE", False)

    async with serving(build_reference_app()) as base_url:
        results = await run_cases(CASES, base_url, concurrency=40)

    assert [result.explain() for result in results if not result.passed] == []


async def test_messages_of_any_length(serve_endpoint: ServeEndpoint, open_wire: Open) -> None:
    """Messages of any length, in any segments, are answered in order."""
    wire = await open_wire(await serve_endpoint(Endpoint()))
    await wire.join("room:a")
    around_a_slot = range(1_980, 2_050)  # of the poller: some frames fill it to the byte
    sizes = (0, 30, 60, 125, 126, *around_a_slot, 70_000, 1_000_000)
    payloads = [{"blob": "x" * size} for size in sizes]
    frames = [["1", str(n), "room:a", "echo", payload] for n, payload in enumerate(payloads)]

    for frame in frames:
        assert (await wire.ask(frame))[4]["response"] == frame[4]
    await wire.client.send_bytes(b"".join(encode_frame(compact_json(frame)) for frame in frames))

    answers = await wire.recv_many(len(frames))
    assert [answer[4]["response"] for answer in answers] == payloads


async def test_many_clients_at_once_get_their_own_replies(
    serve_endpoint: ServeEndpoint, open_wire: Open
) -> None:
    """More clients than one round serves, each with a message of another length."""
    base_url = await serve_endpoint(Endpoint())
    wires = [await open_wire(base_url) for _ in range(150)]
    for wire in wires:
        await wire.join("room:a")
    texts = ["x" * (n * 17) for n in range(len(wires))]

    for wire, text in zip(wires, texts, strict=True):
        await wire.send(["1", "2", "room:a", "echo", {"text": text}])

    answers = [await wire.recv() for wire in wires]
    assert [answer[4]["response"]["text"] for answer in answers] == texts


async def test_a_client_that_stopped_reading_gets_the_newest_and_the_end(
    serve_endpoint: ServeEndpoint, open_wire: Open
) -> None:
    """Of a flood of progress only the newest is kept; the final event arrives last."""
    endpoint = Endpoint(limits=Limits(max_outbox_bytes=100_000))
    base_url = await serve_endpoint(endpoint)
    deaf, good = await open_wire(base_url), await open_wire(base_url)
    await deaf.join("room:a")
    await good.join("room:a")
    blob = "x" * PROGRESS_BYTES

    for number in range(10_000):
        payload = {"n": number, "blob": blob}
        endpoint.broadcast("room:a", "progress", payload, newest_only=True)
        assert (await good.recv())[4]["n"] == number
    endpoint.broadcast("room:a", "done", {})
    assert (await good.recv())[3] == "done"

    heard = [await deaf.recv()]
    while heard[-1][3] != "done":
        heard.append(await deaf.recv())
    numbers = [message[4]["n"] for message in heard[:-1]]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 9_999
    assert len(numbers) < 9_000, "it was to stop reading"
    assert endpoint.counters.frames_replaced == 10_000 - len(numbers)
    assert endpoint.counters.slow_clients_closed == 0


async def test_a_client_too_slow_for_a_flood_is_closed(
    serve_endpoint: ServeEndpoint, open_wire: Open
) -> None:
    """Over the limit: 1013 after complete frames, counted; the others get everything."""
    limits = Limits(max_outbox_bytes=200_000, close_timeout_s=20.0)
    endpoint = Endpoint(limits=limits)
    base_url = await serve_endpoint(endpoint)
    deaf, good = await open_wire(base_url), await open_wire(base_url)
    await deaf.join("room:a")
    await good.join("room:a")
    blob = "x" * PROGRESS_BYTES

    sent = 0
    while not endpoint.counters.slow_clients_closed:
        endpoint.broadcast("room:a", "msg", {"n": sent, "blob": blob})
        assert (await good.recv())[4]["n"] == sent
        sent += 1

    for number in range(sent):
        frame = await deaf.recv_frame()
        if frame.opcode != 1:
            assert (frame.opcode, frame.close_code) == (8, 1013)
            break
        assert f'"n":{number},' in frame.text
    else:
        pytest.fail("it was never closed")
    await good.fence()


async def test_what_a_leaving_client_is_owed_is_written(
    serve_endpoint: ServeEndpoint, open_wire: Open
) -> None:
    """A client that closes before it reads gets all replies and the close frame."""

    class TalkativeChannel(OpenChannel):
        @on("talk")
        def talk(self, payload: Any, socket: Socket) -> HandleResult:
            for number in range(payload):
                socket.push("n", {"n": number, "blob": "x" * 1_000})
            return ok()

    limits = Limits(max_outbox_bytes=100_000_000)
    wire = await open_wire(await serve_endpoint(Endpoint(limits=limits), TalkativeChannel))
    await wire.join("room:a")

    talk = encode_frame(compact_json(["1", "2", "room:a", "talk", 5_000]))
    await wire.client.send_bytes(talk + encode_close(1000))

    frames = await wire.recv_many(5_001)
    assert [frame[4]["n"] for frame in frames[:-1]] == list(range(5_000))
    assert frames[-1] == ["1", "2", "room:a", "phx_reply", OK]
    assert await wire.recv_close() == 1000


@pytest.mark.parametrize("end", ["reset", "drop", "close"])
async def test_however_clients_go_nothing_is_left(
    serve_endpoint: ServeEndpoint, open_wire: Open, end: str
) -> None:
    """Connections that are reset, dropped or closed leave nothing behind."""
    endpoint = Endpoint()
    wire = await open_wire(await serve_endpoint(endpoint))
    await wire.join("room:a")

    if end == "reset":
        _reset(wire)
    elif end == "close":
        await wire.client.send_bytes(encode_close(1000))
        assert await wire.recv_close() == 1000
    await wire.close()

    async with asyncio.timeout(patient(5)):
        while endpoint.connections or len(endpoint.pubsub):
            endpoint.broadcast("room:a", "msg", {})
            await asyncio.sleep(0)


async def test_a_bug_ends_one_connection(
    serve_endpoint: ServeEndpoint,
    open_wire: Open,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An unexpected exception drops its client, is logged, and affects no other."""
    base_url = await serve_endpoint(Endpoint())
    unlucky, lucky = await open_wire(base_url), await open_wire(base_url)
    real = SocketServer.receive

    def buggy(self: SocketServer, data: bytes, *, is_binary: bool) -> None:
        if b"unlucky" in data:
            raise ZeroDivisionError
        real(self, data, is_binary=is_binary)

    monkeypatch.setattr(SocketServer, "receive", buggy)

    await unlucky.send_text("unlucky")

    assert await unlucky.client.read_frame() is None
    assert "ZeroDivisionError" in caplog.text
    await lucky.fence()


def _reset(wire: PhoenixWire) -> None:
    """End the TCP connection with RST."""
    own = cast(socket.socket, wire.client._writer.get_extra_info("socket"))
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
