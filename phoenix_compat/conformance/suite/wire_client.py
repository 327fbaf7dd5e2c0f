"""A raw HTTP/1.1 and websocket client: it sends and returns frames without interpreting them.

It does not answer pings or close frames, reassemble fragments, or check masks and UTF-8. Its users
decide what is correct.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Self
from urllib.parse import urlsplit

Headers = Sequence[tuple[str, str]]

# RFC 6455 §1.3: a server appends this to the client's key.
_ACCEPT_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HANDSHAKE_KEY = base64.b64encode(b"sixteen raw byte").decode()
MASK = b"\x37\xfa\x21\x3d"
"""The mask of every frame that is masked."""

_CLOSE_TIMEOUT_S = 5.0


class Opcode(IntEnum):
    """The opcodes that RFC 6455 defines; a frame may also have others."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


@dataclass(frozen=True, slots=True)
class RawFrame:
    """One websocket frame as it was received, with its payload unmasked.

    Attributes:
        rsv: the three reserved bits as a number, RSV1 is 4.
    """

    opcode: int
    payload: bytes
    is_final: bool = True
    rsv: int = 0
    is_masked: bool = False

    @property
    def text(self) -> str:
        """The payload as text. Raises UnicodeDecodeError if it is not UTF-8."""
        return self.payload.decode()

    @property
    def close_code(self) -> int:
        """The code of a close frame; 1005, as in RFC 6455, if the frame is empty."""
        return int.from_bytes(self.payload[:2]) if self.payload else 1005

    @property
    def close_reason(self) -> bytes:
        """The text after the code of a close frame, undecoded."""
        return self.payload[2:]


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response; header names are in lower case, in their order and with duplicates."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of that name, or None."""
        return next((value for key, value in self.headers if key == name.lower()), None)


def encode_frame(
    payload: bytes | str,
    opcode: int = Opcode.TEXT,
    *,
    is_final: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
) -> bytes:
    """Build the bytes of one frame; `mask=None` leaves it unmasked, as servers must."""
    data = payload.encode() if isinstance(payload, str) else payload
    header = encode_header(
        len(data), opcode, is_final=is_final, rsv=rsv, is_masked=mask is not None
    )
    return header + (data if mask is None else mask + apply_mask(data, mask))


def encode_header(
    length: int, opcode: int, *, is_final: bool = True, rsv: int = 0, is_masked: bool = True
) -> bytes:
    """Build the 2, 4 or 10 bytes before the mask; a payload of `length` bytes need not follow."""
    first = (0x80 if is_final else 0) | rsv << 4 | opcode
    mask_bit = 0x80 if is_masked else 0
    if length < 126:
        return bytes([first, mask_bit | length])
    if length < 65536:
        return bytes([first, mask_bit | 126]) + length.to_bytes(2)
    return bytes([first, mask_bit | 127]) + length.to_bytes(8)


def encode_close(code: int | None = None, reason: bytes = b"") -> bytes:
    """Build a client's close frame; without a code its payload is empty."""
    return encode_frame(b"" if code is None else code.to_bytes(2) + reason, Opcode.CLOSE)


def apply_mask(data: bytes, mask: bytes) -> bytes:
    """XOR the data with the repeated four bytes; this both masks and unmasks."""
    keys = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data) ^ int.from_bytes(keys)).to_bytes(len(data))


def accept_key(key: str) -> str:
    """The `sec-websocket-accept` that answers a `sec-websocket-key`."""
    digest = hashlib.sha1((key + _ACCEPT_GUID).encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def build_request(
    method: str,
    target: str,
    headers: Headers = (),
    body: bytes = b"",
    version: str = "HTTP/1.1",
) -> bytes:
    """Build a request; the only header added is Content-Length, if there is a body."""
    lines = [f"{method} {target} {version}", *(f"{name}: {value}" for name, value in headers)]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def upgrade_headers(
    host: str,
    changed: Mapping[str, str | None] | None = None,
    extra: Headers = (),
) -> list[tuple[str, str]]:
    """The headers of a correct websocket handshake.

    Args:
        host: the value of `Host`.
        changed: other values for some of them; None omits a header.
        extra: further headers.
    """
    headers: dict[str, str | None] = {
        "Host": host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": _HANDSHAKE_KEY,
        "Sec-WebSocket-Version": "13",
        **(changed or {}),
    }
    return [*((name, value) for name, value in headers.items() if value is not None), *extra]


class WireClient:
    """One TCP connection for raw bytes, frames and requests.

    Reads raise TimeoutError if nothing complete arrives within `timeout_s`.

    Attributes:
        was_reset: whether it ended with a TCP reset, which also discards what had arrived.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str
    ) -> None:
        self.host = host
        self.was_reset = False
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, base_url: str) -> Self:
        """Open a connection to the host of an `http`, `https`, `ws` or `wss` URL."""
        url = urlsplit(base_url)
        is_tls = url.scheme in {"https", "wss"}
        reader, writer = await asyncio.open_connection(
            url.hostname,
            url.port or (443 if is_tls else 80),
            ssl=ssl.create_default_context() if is_tls else None,
        )
        return cls(reader, writer, url.netloc)

    async def send_bytes(self, data: bytes) -> None:
        """Send bytes unchanged."""
        self._writer.write(data)
        await self._writer.drain()

    async def send_frame(self, payload: bytes | str, opcode: int = Opcode.TEXT) -> None:
        """Send one valid, masked frame."""
        await self.send_bytes(encode_frame(payload, opcode))

    async def request(
        self,
        method: str,
        target: str,
        headers: Headers = (),
        body: bytes = b"",
        *,
        timeout_s: float = 5.0,
    ) -> HttpResponse:
        """Send a plain request with a `Host` header and read its response."""
        await self.send_bytes(build_request(method, target, [("Host", self.host), *headers], body))
        return await self.read_response(method=method, timeout_s=timeout_s)

    async def handshake(
        self,
        target: str,
        changed: Mapping[str, str | None] | None = None,
        extra: Headers = (),
        *,
        trailing: bytes = b"",
        timeout_s: float = 5.0,
    ) -> HttpResponse:
        """Request the upgrade and read the response; frames follow a 101.

        Args:
            target: path and query.
            changed: other values for handshake headers; None omits one (see `upgrade_headers`).
            extra: further headers.
            trailing: bytes sent in the same write as the request.
        """
        headers = upgrade_headers(self.host, changed, extra)
        await self.send_bytes(build_request("GET", target, headers) + trailing)
        return await self.read_response(timeout_s=timeout_s)

    async def read_response(self, *, method: str = "GET", timeout_s: float = 5.0) -> HttpResponse:
        """Read one response, with the body by length, in chunks, or until the connection ends."""
        async with asyncio.timeout(timeout_s):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status_line, *lines = head.rstrip("\r\n").split("\r\n")
            _version, status, *reason = status_line.split(" ", 2)
            pairs = (line.split(":", 1) for line in lines)
            headers = tuple((name.strip().lower(), value.strip()) for name, value in pairs)
            response = HttpResponse(int(status), "".join(reason), headers, b"")
            if response.status in {101, 204, 304} or method == "HEAD":
                return response
            body = await self._read_body(response)
            return HttpResponse(response.status, response.reason, headers, body)

    async def read_frame(self, timeout_s: float | None = 5.0) -> RawFrame | None:
        """Read one frame; None if the connection has ended, in whatever way.

        After a timeout within a frame, the rest of it stays unread.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._read_frame()
        except asyncio.IncompleteReadError:
            return None
        except ConnectionError:
            self.was_reset = True
            return None

    async def close(self) -> None:
        """Close the TCP connection without a close frame."""
        self._writer.close()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._writer.wait_closed()
        except TimeoutError:
            self._writer.transport.abort()  # the server does not read what was sent
        except (ConnectionError, ssl.SSLError):
            return  # the connection was already lost

    async def _read_frame(self) -> RawFrame:
        first, second = await self._reader.readexactly(2)
        length = second & 0x7F
        if length == 126:
            length = int.from_bytes(await self._reader.readexactly(2))
        elif length == 127:
            length = int.from_bytes(await self._reader.readexactly(8))
        mask = await self._reader.readexactly(4) if second & 0x80 else None
        payload = await self._reader.readexactly(length)
        return RawFrame(
            opcode=first & 0x0F,
            payload=payload if mask is None else apply_mask(payload, mask),
            is_final=bool(first & 0x80),
            rsv=first >> 4 & 0x07,
            is_masked=mask is not None,
        )

    async def _read_body(self, response: HttpResponse) -> bytes:
        if response.header("transfer-encoding") == "chunked":
            return await self._read_chunks()
        length = response.header("content-length")
        if length is None:
            return await self._reader.read()
        return await self._reader.readexactly(int(length))

    async def _read_chunks(self) -> bytes:
        body = b""
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            body += await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        await self._reader.readuntil(b"\r\n")
        return body
