"""Listens on sockets other than host and port: those passed by systemd, and Unix sockets."""

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
_UNIT_REMEDY: Final = "in the .socket unit use ListenStream= and Accept=no"


def inherited_sockets(
    environment: MutableMapping[str, str] = os.environ, first_fd: int = _FIRST_FD
) -> tuple[socket.socket, ...]:
    """The listening sockets that systemd passed to this process; usually none.

    The variables are removed, so that child processes do not use them.

    Source: sd_listen_fds(3): LISTEN_PID is the process, LISTEN_FDS the number of sockets from 3 on.

    Raises:
        ConfigError: a file descriptor is not a listening stream socket.
    """
    pid = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count:
        return ()
    if not count.isascii() or not count.isdigit() or int(count) > _MAX_FDS:
        raise ConfigError(
            f"LISTEN_FDS: must be a number of sockets up to {_MAX_FDS}, not {count[:20]!r}"
        )
    return tuple(_inherited(number) for number in range(first_fd, first_fd + int(count)))


def _inherited(number: int) -> socket.socket:
    try:
        os.set_inheritable(number, False)  # noqa: FBT003 - its only form
        listener = socket.socket(fileno=number)
        is_stream = listener.type == socket.SOCK_STREAM
        is_listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    except OSError as error:
        raise ConfigError(
            f"file descriptor {number} is not a socket: {error.strerror}; {_UNIT_REMEDY}"
        ) from error
    if not is_stream or not is_listening:
        listener.detach()
        raise ConfigError(
            f"file descriptor {number} is not a listening stream socket; {_UNIT_REMEDY}"
        )
    listener.setblocking(False)  # noqa: FBT003 - its only form
    return listener


@contextmanager
def unix_listener(path: Path, mode: int) -> Iterator[socket.socket]:
    """Bind a Unix socket to a path, and remove it at the end of the block; blocking.

    Args:
        mode: the file mode of the socket: who may connect.

    Raises:
        ConfigError: another file or server is at the path, or the path cannot be used.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with listener:
        try:
            _remove_dead_socket(path)
            # No one can connect before the mode is set.
            before = os.umask(0o777)
            try:
                listener.bind(str(path))
            finally:
                os.umask(before)
            path.chmod(mode)
        except OSError as error:
            remedy = "choose another path for unix_socket, in a folder where this user may write"
            raise ConfigError(f"cannot listen on {path}: {error.strerror}; {remedy}") from error
        listener.setblocking(False)  # noqa: FBT003 - its only form
        identity = path.stat().st_ino
        try:
            yield listener
        finally:
            with contextlib.suppress(OSError):
                if path.stat().st_ino == identity:  # not the socket of a later server
                    path.unlink()


def _remove_dead_socket(path: Path) -> None:
    """Remove the socket at a path if no server listens on it."""
    try:
        found = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found):
        raise ConfigError(f"cannot listen on {path}: there is a file at this path; move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise ConfigError(f"cannot listen on {path}: another server listens there; stop that one first")
