"""Tells whether a client takes what it is sent, by what the kernel knows of its socket."""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any, Final

_acked_of: Final = struct.Struct("Q").unpack_from
_ACKED_OFFSET: Final = 120
"""Of `tcpi_bytes_acked` in Linux's `struct tcp_info`; since Linux 4.1."""
_TCP_INFO_BYTES: Final = _ACKED_OFFSET + 8
_TCP: Final = (socket.AF_INET, socket.AF_INET6)


def unsent_bytes(connection: Any) -> int:
    """How many bytes the kernel keeps that the client's side has not acknowledged; 0 if unknown.

    Args:
        connection: a socket, or what a transport shows of its socket.
    """
    if sys.platform == "win32":
        return 0
    import fcntl  # noqa: PLC0415 - not there on Windows
    import termios  # noqa: PLC0415 - the same

    answer = bytearray(4)
    try:
        fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, answer)
    except (OSError, ValueError):  # it is closed
        return 0
    return int.from_bytes(answer, sys.byteorder)


def _taken(connection: Any, unsent: int) -> int:
    """A number that changes whenever the client has taken something."""
    if sys.platform == "linux" and connection.family in _TCP:
        try:
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        except OSError:
            return 0
        if len(info) >= _TCP_INFO_BYTES:
            return int(_acked_of(info, _ACKED_OFFSET)[0])
    return unsent


class SendProgress:
    """How long a client has taken nothing of what waits for it.

    Slow clients make progress with each packet that they acknowledge. Those that only keep the
    connection open do not: their system acknowledges what fits into its receive buffer, then stops.
    """

    __slots__ = ("_since_s", "_taken")

    def __init__(self) -> None:
        self._taken = -1
        self._since_s = 0.0

    def stalled_s(self, connection: Any, now_s: float, buffered_bytes: int) -> float | None:
        """For how long it has taken nothing, as far as is known; None if nothing waits for it.

        Args:
            buffered_bytes: what waits in this process, before the kernel.
        """
        unsent = unsent_bytes(connection)
        if not unsent and not buffered_bytes:
            self._taken = -1
            return None
        taken = _taken(connection, unsent + buffered_bytes)
        if taken != self._taken:
            self._taken = taken
            self._since_s = now_s
        return now_s - self._since_s
