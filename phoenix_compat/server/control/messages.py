"""What is sent over the control socket: one line of JSON each way, then the connection closes.

{"command": "keys.revoke", "arguments": {"name": "phone"}}
{"result": …}  or  {"error": "there is no key named 'phone'; …"}
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from phoenix_compat.errors import PhoenixCompatError

SOCKET_NAME: Final = "control.sock"
"""The name of the socket in the data folder."""
MAX_REQUEST_BYTES: Final = 64 * 2**10
MAX_RESPONSE_BYTES: Final = 8 * 2**20

Arguments: TypeAlias = Mapping[str, Any]
Handler: TypeAlias = Callable[[Arguments], Awaitable[object]]
"""Carries out a command. Returns what can be JSON. Raises PhoenixCompatError with words for people,
or msgspec.ValidationError for arguments that it cannot use."""

_MAX_SOCKET_PATH_BYTES: Final = 107


class ControlError(PhoenixCompatError):
    """The server did not carry out a command; the text says why."""


class Request(msgspec.Struct, frozen=True):
    """A command and its arguments."""

    command: str
    arguments: dict[str, Any] = {}


class Response(msgspec.Struct, frozen=True, omit_defaults=True):
    """The result of a command, or the reason why it failed."""

    result: Any = None
    error: str | None = None


request_decoder: Final = msgspec.json.Decoder(Request)
response_decoder: Final = msgspec.json.Decoder(Response)


@contextlib.contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """An address for `bind` or `connect`, usable within the block. Blocking.

    The kernel takes paths of up to 107 bytes. On Linux a longer one is given relative to its folder
    in /proc.

    Raises:
        OSError: the folder cannot be opened.
    """
    if len(os.fsencode(path)) <= _MAX_SOCKET_PATH_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
