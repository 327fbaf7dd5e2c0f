"""The raw client sends exactly the requested bytes, and returns what it receives."""

from __future__ import annotations

import asyncio

import pytest

from phoenix_compat.conformance.suite import wire_client
from phoenix_compat.conformance.suite.wire_client import (
    Opcode,
    RawFrame,
    WireClient,
    accept_key,
    build_request,
    encode_close,
    encode_frame,
    upgrade_headers,
)
from tests.conformance.suite.fake_server import HANG_UP, WELCOME, FakeServer, plain


async def read(sent: bytes) -> RawFrame | None:
    """Read one frame from a server that sends these bytes, and drops the connection later."""
    async with FakeServer([HANG_UP], responses=(WELCOME + sent,)).run() as base_url:
        client = await WireClient.connect(base_url)
        await client.handshake("/")
        await client.send_frame("?")
        frame = await client.read_frame()
        await client.close()
        return frame


@pytest.mark.parametrize("size_bytes", [0, 1, 125, 126, 65535, 65536])
async def test_a_frame_is_read_as_it_was_built(size_bytes: int) -> None:
    """Payloads with every length encoding are returned complete and unmasked."""
    payload = bytes(range(256)) * 257
    sent = encode_frame(payload[:size_bytes], Opcode.BINARY, is_final=False, rsv=5)

    frame = await read(sent)

    assert frame == RawFrame(Opcode.BINARY, payload[:size_bytes], False, 5, True)


def test_frames_have_the_bytes_of_rfc_6455() -> None:
    """The frames are those of the example in RFC 6455 §5.7."""
    masked = encode_frame("Hello")
    unmasked = encode_frame("Hello", mask=None)

    assert masked.hex() == "818537fa213d7f9f4d5158"
    assert unmasked.hex() == "810548656c6c6f"


async def test_a_close_frame_has_a_code_and_a_reason() -> None:
    """Code and reason are separate; an empty close frame has the code 1005."""
    full = await read(encode_close(1001, b"bye"))
    empty = await read(encode_close())

    assert full is not None
    assert empty is not None
    assert (full.close_code, full.close_reason) == (1001, b"bye")
    assert empty.close_code == 1005


@pytest.mark.parametrize("sent", [b"", encode_frame("Hello")[:-1]])
async def test_the_end_of_the_connection_is_none(sent: bytes) -> None:
    """If the connection ends between frames or within one, there is no frame."""
    frame = await read(sent)

    assert frame is None


def test_the_accept_key_is_that_of_rfc_6455() -> None:
    """The key of the example in RFC 6455 §1.3 gives the result printed there."""
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_a_handshake_header_can_be_left_out() -> None:
    """None removes a handshake header; another value replaces it."""
    changed = upgrade_headers("h", {"Upgrade": None, "Connection": "close"}, [("X-A", "1")])

    names = [name for name, _value in changed]

    assert names == ["Host", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "X-A"]
    assert build_request("GET", "/p", changed).startswith(b"GET /p HTTP/1.1\r\nHost: h\r\n")


@pytest.mark.parametrize(
    "response",
    [
        plain(200, b"body"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nbody",
    ],
    ids=["by-length", "chunked", "until-the-end"],
)
async def test_bodies_of_every_form_are_read(response: bytes) -> None:
    """A body is read by length, in chunks, or until the connection ends."""
    async with FakeServer(responses=(response,)).run() as base_url:
        client = await WireClient.connect(base_url)
        answer = await client.request("GET", "/")
        await client.close()

    assert (answer.status, answer.body) == (200, b"body")


async def test_a_server_that_reads_nothing_does_not_keep_a_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Closing gives up what was not sent after a while."""
    monkeypatch.setattr(wire_client, "_CLOSE_TIMEOUT_S", 0.05)
    is_over = asyncio.Event()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await is_over.wait()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, limit=1024) as server:
        host, port = server.sockets[0].getsockname()
        client = await WireClient.connect(f"http://{host}:{port}")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.send_bytes(bytes(50_000_000))
        async with asyncio.timeout(5.0):
            await client.close()
        is_over.set()
