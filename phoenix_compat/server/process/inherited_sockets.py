"""Sockets that are not a host and a port: handed over by systemd, or a path on this machine."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from phoenix_compat.errors import ConfigError

_FIRST_FD: Final = 3
_MAX_FDS: Final = 64
_PROBE_S: Final = 1.0


def inherited_sockets(
    environment: MutableMapping[str, str] = os.environ, first_fd: int = _FIRST_FD
) -> tuple[socket.socket, ...]:
    """The listening sockets that whoever started this process hands over; none is usual.

    The variables are removed, so that no child takes them for its own.

    Source: sd_listen_fds(3): LISTEN_PID is the process meant, LISTEN_FDS how many from 3 on.

    Raises:
        ConfigError: what was handed over are no listening stream sockets.
    """
    pid = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count:
        return ()
    if not count.isascii() or not count.isdigit() or int(count) > _MAX_FDS:
        raise ConfigError(f"LISTEN_FDS is {count[:20]!r}; expected: at most {_MAX_FDS} sockets")
    return tuple(_inherited(number) for number in range(first_fd, first_fd + int(count)))


def _inherited(number: int) -> socket.socket:
    try:
        os.set_inheritable(number, False)  # noqa: FBT003 - its only form
        listener = socket.socket(fileno=number)
        is_stream = listener.type == socket.SOCK_STREAM
        is_listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    except OSError as error:
        raise ConfigError(f"file descriptor {number} is no socket: {error.strerror}") from error
    if not is_stream or not is_listening:
        listener.detach()
        raise ConfigError(
            f"file descriptor {number} is no listening stream socket; "
            "in the .socket unit use ListenStream= and Accept=no"
        )
    listener.setblocking(False)  # noqa: FBT003 - its only form
    return listener


@contextmanager
def unix_listener(path: Path, mode: int) -> Iterator[socket.socket]:
    """A Unix socket at a path, which is removed afterwards; blocking.

    Args:
        mode: who may connect: a file mode.

    Raises:
        ConfigError: something else is there, another server listens there, or the folder refuses.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with listener:
        try:
            _make_way(path)
            # Nobody connects before the mode is as it was asked for.
            before = os.umask(0o777)
            try:
                listener.bind(str(path))
            finally:
                os.umask(before)
            path.chmod(mode)
        except OSError as error:
            raise ConfigError(f"cannot listen on {path}: {error.strerror}") from error
        listener.setblocking(False)  # noqa: FBT003 - its only form
        identity = path.stat().st_ino
        try:
            yield listener
        finally:
            with contextlib.suppress(OSError):
                if path.stat().st_ino == identity:  # and not that of a server that came after us
                    path.unlink()


def _make_way(path: Path) -> None:
    """Remove a socket that nobody listens on any more, and nothing else."""
    try:
        found = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found):
        raise ConfigError(f"cannot listen on {path}: a file of this name is there; move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise ConfigError(f"cannot listen on {path}: another server does; stop that one first")
