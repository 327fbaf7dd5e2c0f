"""How messages become the texts that PostgreSQL's NOTIFY takes, and back.

    "b" counter ":" base64 of a MessagePack array of messages       a batch
    "r" counter ":" number                                          a message kept in the table

A text has fewer than 8000 bytes. PostgreSQL drops a notification that is equal to an earlier one of
the same transaction, so each has a counter.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from phoenix_compat.errors import PhoenixCompatError

MAX_INLINE_BYTES: Final = 5_880
"""The limit of a batch before it becomes a text of at most 7.9 kB."""
MAX_CHANNEL_BYTES: Final = 63
"""The limit of PostgreSQL for a name."""
_FRAME_BYTES: Final = 5
"""The limit of what MessagePack adds to a message, and to a batch."""

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[bytes])


class InvalidNotificationError(PhoenixCompatError):
    """A notification that no node of this server has sent."""


def channel_of(subject: str) -> str:
    """The name of a subject's channel; a hash where the subject is too long for a name."""
    if len(subject.encode()) <= MAX_CHANNEL_BYTES:
        return subject
    return f"phx_{hashlib.sha256(subject.encode()).hexdigest()[:48]}"


def is_inline(data: bytes) -> bool:
    """Whether a message fits into a text."""
    return len(data) + 2 * _FRAME_BYTES <= MAX_INLINE_BYTES


def split_into_batches(messages: Iterable[bytes]) -> Iterator[list[bytes]]:
    """As few batches as fit into texts, in the order of the messages.

    A message that is too long for a text is a batch of its own.
    """
    batch: list[bytes] = []
    size_bytes = _FRAME_BYTES
    for data in messages:
        size_bytes += len(data) + _FRAME_BYTES
        if batch and size_bytes > MAX_INLINE_BYTES:
            yield batch
            batch, size_bytes = [], len(data) + 2 * _FRAME_BYTES
        batch.append(data)
    if batch:
        yield batch


def batch_text(counter: int, batch: list[bytes]) -> str:
    """The text of a batch that fits into one."""
    packed = binascii.b2a_base64(_encoder.encode(batch), newline=False)
    return f"b{counter:x}:{packed.decode()}"


def reference_text(counter: int, number: int) -> str:
    """The text of a message that is kept under a number."""
    return f"r{counter:x}:{number}"


def read_text(text: str) -> list[bytes] | int:
    """The messages of a batch, or the number under which one message is kept.

    Raises:
        InvalidNotificationError: the text is neither.
    """
    head, _, rest = text.partition(":")
    try:
        if head[:1] == "b":
            return _decoder.decode(binascii.a2b_base64(rest, strict_mode=True))
        if head[:1] == "r":
            return int(rest)
    except (ValueError, msgspec.MsgspecError):
        pass
    raise InvalidNotificationError("a notification that is not a message of the bus")
