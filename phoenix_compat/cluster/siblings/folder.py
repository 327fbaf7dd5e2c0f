"""Where siblings find each other: a lock that one of them has, and the socket it listens on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import weakref
from pathlib import Path
from typing import Final

from phoenix_compat.cluster.unix.receiver import bound_unix_socket
from phoenix_compat.private_files import FILE_MODE

if sys.platform != "win32":
    import fcntl

_SOCKET: Final = "broker"
_LOCK: Final = "broker-lock"


class SiblingFolder:
    """The lock and the socket. The kernel frees the lock of a process that has died.

    Args:
        folder: is private to the siblings. The path of the socket has at most 107 bytes.

    Attributes:
        socket_path: where the holder listens.
    """

    def __init__(self, folder: Path) -> None:
        self.socket_path = folder / _SOCKET
        self._lock_path = folder / _LOCK
        self._descriptor: int | None = None

    def open(self) -> None:
        """Open the file of the lock; blocking. Raises OSError."""
        if self._descriptor is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(self._lock_path, flags, FILE_MODE)
            weakref.finalize(self, os.close, self._descriptor)

    def take_lock(self) -> bool:
        """Take the lock, unless a sibling has it; never waits."""
        if self._descriptor is None or sys.platform == "win32":
            return False
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def free_lock(self) -> None:
        """Let a sibling take the lock."""
        if self._descriptor is not None and sys.platform != "win32":
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    async def bind(self) -> socket.socket:
        """The socket that the holder listens on. Raises OSError."""
        binding = asyncio.create_task(asyncio.to_thread(bound_unix_socket, self.socket_path))
        try:
            return await asyncio.shield(binding)
        except asyncio.CancelledError:
            # The thread goes on, and must not replace the socket of the next holder.
            with contextlib.suppress(OSError):
                (await binding).close()
            raise
