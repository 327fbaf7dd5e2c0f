"""Reads and writes the websocket frames of RFC 6455, for a server.

Differs from Phoenix: a fragment with RSV1 is refused at once, and an empty fragment in the middle
of a message is accepted. Bandit refuses the complete message, and closes with 1008.

Frames are read from one buffer that all connections share: a payload is copied out of it once and
unmasked in the copy.

The close codes that a Phoenix server sends, and whether phoenix.js reconnects:

    code   reason                                                   client reconnects?
    1000   reply to the client's own close frame                    since 1.8.16
    1001   `disconnect` broadcast on the socket's id                yes
    1002   protocol error, or a timeout: idle, or a frame's         yes
    1007   text that is not UTF-8                                   yes
    1009   frame or message too large                               yes
    1011   undecodable message, or a reply that cannot be encoded   yes
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
_OPCODE: Final = 0x0F
_RESERVED_BITS: Final = 0x70
_MASKED: Final = 0x80
_MAX_CONTROL_BYTES: Final = 125
_LENGTH_16: Final = 126
_LENGTH_64: Final = 127
_MIN_HEADER_BYTES: Final = 6

Unmask = Callable[[bytes, bytearray], None]
"""Applies the four-byte mask (XOR) to the data in place."""


def apply_mask(mask: bytes, data: bytearray) -> None:
    """An `Unmask` in Python alone, as one operation on large integers."""
    size = len(data)
    repeated = (mask * (size // 4 + 1))[:size]
    masked = int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")
    data[:] = masked.to_bytes(size, "little")


class RawFrame(NamedTuple):
    """One received frame, unmasked."""

    opcode: int
    is_final: bool
    payload: bytearray
    end: int
    """The position of the next frame in the buffer."""


def read_frame(
    buffer: bytearray, start: int, end: int, max_frame_bytes: int, unmask: Unmask
) -> RawFrame | None:
    """Read the frame that begins at `start`; None if it is not complete yet.

    Args:
        buffer: the received bytes; only `start` to `end` are used.
        max_frame_bytes: the limit for header and payload together, as in Bandit.
        unmask: see `Unmask`.

    Raises:
        RemoteProtocolError: 1002 for what RFC 6455 forbids, 1009 for a frame that is too large.
            Both are raised as soon as the header is there.
    """
    if end - start < 2:
        return None
    first = buffer[start]
    length = buffer[start + 1]
    if first & _RESERVED_BITS or not length & _MASKED:
        mistake = "is not masked" if not length & _MASKED else "has reserved bits set"
        raise RemoteProtocolError(f"the frame {mistake}", CLOSE_PROTOCOL_ERROR)
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
            f"the frame has {length} bytes; the limit is {max_frame_bytes} with its header",
            CLOSE_TOO_LARGE,
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
        raise RemoteProtocolError(
            "the control frame is too long or fragmented", CLOSE_PROTOCOL_ERROR
        )


class Assembler:
    """Assembles the fragments of one message.

    It holds at most `max_message_bytes`; a longer message is closed with 1009.
    """

    __slots__ = ("_data", "_max_message_bytes", "_opcode")

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._opcode: int | None = None
        self._data = bytearray()

    def add(self, frame: RawFrame) -> tuple[int, bytearray] | None:
        """Add a data frame; return the opcode and the bytes of the message if it is complete.

        Raises:
            RemoteProtocolError: a continuation without a message, a new message inside another
                (both 1002), or too many bytes (1009).
        """
        if (frame.opcode == CONTINUATION) is (self._opcode is None):
            mistake = "continues no message" if self._opcode is None else "interrupts a message"
            raise RemoteProtocolError(f"the data frame {mistake}", CLOSE_PROTOCOL_ERROR)
        if self._opcode is None:
            self._opcode = frame.opcode
        if len(self._data) + len(frame.payload) > self._max_message_bytes:
            raise RemoteProtocolError("the fragmented message is too large", CLOSE_TOO_LARGE)
        self._data += frame.payload
        if not frame.is_final:
            return None
        complete = self._opcode, self._data
        self._opcode, self._data = None, bytearray()
        return complete

    @property
    def is_idle(self) -> bool:
        """Whether no message is partly received."""
        return self._opcode is None


_ANSWERED_NORMALLY: Final = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011})
_FIRST_PRIVATE_CODE: Final = 3000


def close_answer(payload: bytearray) -> int:
    """The code of the reply to a client's close frame: 1000, or 1002 for an invalid one.

    Source: bandit 1.12.5, lib/bandit/websocket/connection.ex (observed, docs/protocol.md §1.9).
    """
    if not payload:
        return CLOSE_NORMAL
    if len(payload) == 1:
        return CLOSE_PROTOCOL_ERROR
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return CLOSE_PROTOCOL_ERROR
    code = int.from_bytes(payload[:2], "big")
    if code in _ANSWERED_NORMALLY or code >= _FIRST_PRIVATE_CODE:
        return CLOSE_NORMAL
    return CLOSE_PROTOCOL_ERROR


def frame_header(opcode: int, length: int) -> bytes:
    """The header of an unmasked frame with a payload of this length."""
    if length < _LENGTH_16:
        return bytes((_FIN | opcode, length))
    if length < 1 << 16:
        return bytes((_FIN | opcode, _LENGTH_16)) + length.to_bytes(2, "big")
    return bytes((_FIN | opcode, _LENGTH_64)) + length.to_bytes(8, "big")


def write_frame(opcode: int, payload: bytes | bytearray) -> bytes:
    """A complete, unmasked frame with this payload."""
    return frame_header(opcode, len(payload)) + payload


def server_frame(data: bytes) -> tuple[int, bytes]:
    """The opcode and the payload of one complete frame, as `write_frame` makes it."""
    start = {_LENGTH_16: 4, _LENGTH_64: 10}.get(data[1], 2)
    return data[0] & _OPCODE, data[start:]


def close_frame(code: int) -> bytes:
    """A close frame with a code and no reason, because Phoenix never sends one."""
    return write_frame(CLOSE, code.to_bytes(2, "big"))
