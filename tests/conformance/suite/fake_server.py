"""A websocket server that sends scripted answers: right, wrong or late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from phoenix_compat.conformance.suite.wire_client import Opcode, WireClient, encode_frame

Answers = Sequence[bytes | float]
"""The answers to one frame of the client: bytes to send, and pauses in seconds."""

WELCOME = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
HANG_UP = b""


def text(json_text: str) -> bytes:
    """A server's text frame."""
    return encode_frame(json_text, mask=None)


def close(code: int) -> bytes:
    """A server's close frame."""
    return encode_frame(code.to_bytes(2), Opcode.CLOSE, mask=None)


def plain(status: int, body: bytes = b"", *headers: str) -> bytes:
    """A plain HTTP response."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class FakeServer:
    """Plays its script to every client, and counts the clients at the same time.

    Args:
        responses: the HTTP responses to the first, second, … connection; the last one is used for
            all further connections.
        script: the answers to each frame that a client sends; `HANG_UP` drops the connection.
    """

    def __init__(self, *script: Answers, responses: Sequence[bytes] = (WELCOME,)) -> None:
        self._script = script
        self._responses = list(responses)
        self._clients = 0
        self.max_clients = 0
        self.requests: list[str] = []

    @asynccontextmanager
    async def run(self) -> AsyncIterator[str]:
        """Listen on a free port of the loopback; yields the base URL."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            host, port = server.sockets[0].getsockname()
            yield f"http://{host}:{port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        self.max_clients = max(self.max_clients, self._clients)
        client = WireClient(reader, writer, "fake")
        try:
            await self._converse(reader, client)
        finally:
            self._clients -= 1
            await client.close()

    async def _converse(self, reader: asyncio.StreamReader, client: WireClient) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head.split(b"\r\n")[0].decode())
        response = self._responses.pop(0) if len(self._responses) > 1 else self._responses[0]
        await client.send_bytes(response)
        if response.startswith(b"HTTP/1.1 101"):
            await self._play(client)

    async def _play(self, client: WireClient) -> None:
        for answers in self._script:
            frame = await client.read_frame()
            if frame is None or frame.opcode == Opcode.CLOSE:
                return
            for answer in answers:
                if answer == HANG_UP:
                    return
                await (
                    asyncio.sleep(answer)
                    if isinstance(answer, float)
                    else client.send_bytes(answer)
                )
        while (frame := await client.read_frame()) is not None and frame.opcode != Opcode.CLOSE:
            pass
