"""Websocket frames of RFC 6455, as a server reads and writes them.

Reading is made for one buffer that all connections share: a frame is copied out of it once, and
unmasked in that copy.

Close codes that a server of Phoenix sends, and what phoenix.js does then:

    code   when                                                     client reconnects?
    1000   answer to the client's own close                         no
    1001   `disconnect` broadcast on the socket's id                yes
    1002   protocol error, or silent for longer than the timeout    yes
    1007   text that is not UTF-8                                   yes
    1009   frame or message too large                               yes
    1011   undecodable message, or an answer that cannot be encoded yes
    1012   the server shuts down with joined channels               yes
    1013   the client reads too slowly                              yes

Source: RFC 6455 §5; bandit 1.12.5, lib/bandit/websocket/frame.ex and connection.ex (codes and
limits); phoenix.js 1.8 onConnClose (the last column).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from phoenix_compat.errors import RemoteProtocolError

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

CLOSE_NORMAL: Final = 1000
CLOSE_GOING_AWAY: Final = 1001
CLOSE_PROTOCOL_ERROR: Final = 1002
CLOSE_INVALID_PAYLOAD: Final = 1007
CLOSE_TOO_LARGE: Final = 1009
CLOSE_INTERNAL_ERROR: Final = 1011
CLOSE_SERVICE_RESTART: Final = 1012
CLOSE_TRY_AGAIN_LATER: Final = 1013

_FIN: Final = 0x80
_RESERVED_BITS: Final = 0x70
_MASKED: Final = 0x80
_MAX_CONTROL_BYTES: Final = 125
_LENGTH_16: Final = 126
_LENGTH_64: Final = 127
_MIN_HEADER_BYTES: Final = 6

Unmask = Callable[[bytes, bytearray], None]
"""Xors the data in place with the four bytes of the mask."""


class RawFrame(NamedTuple):
    """One frame as it stood on the wire, unmasked."""

    opcode: int
    is_final: bool
    payload: bytearray
    end: int
    """Where the next frame begins in the buffer."""


def read_frame(
    buffer: bytearray, start: int, end: int, max_frame_bytes: int, unmask: Unmask
) -> RawFrame | None:
    """Read the frame that begins at `start`; None when it is not yet there whole.

    Args:
        buffer: bytes received; only `start` to `end` count.
        max_frame_bytes: header and payload together, as Bandit counts.
        unmask: see `Unmask`.

    Raises:
        RemoteProtocolError: 1002 for what RFC 6455 forbids, 1009 for a frame that is too large;
            told from the header, before the payload is there.
    """
    if end - start < 2:
        return None
    first = buffer[start]
    length = buffer[start + 1]
    if first & _RESERVED_BITS or not length & _MASKED:
        what = "is not masked" if not length & _MASKED else "has reserved bits set"
        raise RemoteProtocolError(f"frame {what}", CLOSE_PROTOCOL_ERROR)
    opcode = first & 0x0F
    length &= 0x7F
    body = start + _MIN_HEADER_BYTES
    if opcode > BINARY:
        _check_control(first, opcode, length)
    elif length >= _LENGTH_16:
        size = 2 if length == _LENGTH_16 else 8
        if end - start < 2 + size:
            return None
        length = int.from_bytes(buffer[start + 2 : start + 2 + size], "big")
        body += size
    if length + body - start > max_frame_bytes:
        raise RemoteProtocolError(
            f"frame of {length} bytes, at most {max_frame_bytes} with its header", CLOSE_TOO_LARGE
        )
    frame_end = body + length
    if frame_end > end:
        return None
    payload = buffer[body:frame_end]
    unmask(bytes(buffer[body - 4 : body]), payload)
    return RawFrame(opcode, first >= _FIN, payload, frame_end)


def _check_control(first: int, opcode: int, length: int) -> None:
    if opcode not in {CLOSE, PING, PONG}:
        raise RemoteProtocolError(f"unknown opcode {opcode:#x}", CLOSE_PROTOCOL_ERROR)
    if length > _MAX_CONTROL_BYTES or not first & _FIN:
        raise RemoteProtocolError("control frame too long or fragmented", CLOSE_PROTOCOL_ERROR)


class Assembler:
    """Puts the fragments of one message together.

    Holds at most `max_message_bytes`; past it the connection ends with 1009.
    """

    __slots__ = ("_data", "_max_message_bytes", "_opcode")

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._opcode: int | None = None
        self._data = bytearray()

    def add(self, frame: RawFrame) -> tuple[int, bytearray] | None:
        """Take a data frame; the message's opcode and bytes when it is complete.

        Raises:
            RemoteProtocolError: a continuation of nothing, a new message inside another (1002),
                or too many bytes (1009).
        """
        if (frame.opcode == CONTINUATION) is (self._opcode is None):
            what = "continues nothing" if self._opcode is None else "interrupts a message"
            raise RemoteProtocolError(f"data frame {what}", CLOSE_PROTOCOL_ERROR)
        if self._opcode is None:
            self._opcode = frame.opcode
        if len(self._data) + len(frame.payload) > self._max_message_bytes:
            raise RemoteProtocolError("fragmented message too large", CLOSE_TOO_LARGE)
        self._data += frame.payload
        if not frame.is_final:
            return None
        complete = self._opcode, self._data
        self._opcode, self._data = None, bytearray()
        return complete

    @property
    def is_idle(self) -> bool:
        """Whether no message is half received."""
        return self._opcode is None


_ANSWERED_NORMALLY: Final = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011})
_FIRST_PRIVATE_CODE: Final = 3000


def close_answer(payload: bytearray) -> int:
    """The code that answers a client's close frame: 1000, or 1002 or 1007 for a bad one.

    Source: bandit 1.12.5, lib/bandit/websocket/connection.ex (observed, docs/protocol.md §1.9).
    """
    if not payload:
        return CLOSE_NORMAL
    if len(payload) == 1:
        return CLOSE_PROTOCOL_ERROR
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return CLOSE_INVALID_PAYLOAD
    code = int.from_bytes(payload[:2], "big")
    if code in _ANSWERED_NORMALLY or code >= _FIRST_PRIVATE_CODE:
        return CLOSE_NORMAL
    return CLOSE_PROTOCOL_ERROR


def frame_header(opcode: int, length: int) -> bytes:
    """What stands before an unmasked payload of this length."""
    if length < _LENGTH_16:
        return bytes((_FIN | opcode, length))
    if length < 1 << 16:
        return bytes((_FIN | opcode, _LENGTH_16)) + length.to_bytes(2, "big")
    return bytes((_FIN | opcode, _LENGTH_64)) + length.to_bytes(8, "big")


def write_frame(opcode: int, payload: bytes | bytearray) -> bytes:
    """A whole, unmasked frame around `payload`."""
    return frame_header(opcode, len(payload)) + payload


def close_frame(code: int) -> bytes:
    """A close frame with a code and no reason: Phoenix never gives one."""
    return write_frame(CLOSE, code.to_bytes(2, "big"))
