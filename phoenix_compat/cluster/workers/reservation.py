"""What a supervisor holds for its workers: the port, the secret and the folder of their sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from phoenix_compat.accept import explain_bind_error
from phoenix_compat.cluster.workers.worker_process import WorkerProcess, usable_folder
from phoenix_compat.errors import ConfigError
from phoenix_compat.private_files import open_private
from phoenix_compat.redaction import live_secrets

if sys.platform != "win32":
    import fcntl

PREFIX: Final = "phoenix-compat-"
"""How the name of a folder begins; what follows is random."""

_LOCK: Final = "lock"
_PROBE: Final = "63.http"
_SECRET_BYTES: Final = 48


@asynccontextmanager
async def reserved(
    host: str, port: int, size: int, data_dir: Path | None = None
) -> AsyncIterator[WorkerProcess]:
    """Reserve a port, and create the folder for the sockets of `size` workers.

    Args:
        data_dir: where the folder is created, if the file system there can have sockets; otherwise,
            and if this is None, in the folder for temporary files.

    Yields:
        The WorkerProcess of the first worker, with node 0.

    Raises:
        ConfigError: the address is unknown, the port is taken, this system cannot share a port, or
            there is no place for the sockets.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigError("workers: this system cannot share a port between processes; use 1")
    reservation = await asyncio.to_thread(reserve_port, host, port)
    with reservation, contextlib.ExitStack() as stack:
        folder = await asyncio.to_thread(stack.enter_context, _socket_folder(data_dir))
        secret_key_base = secrets.token_urlsafe(_SECRET_BYTES)
        live_secrets.register(secret_key_base)
        try:
            yield WorkerProcess(
                node=0,
                size=size,
                folder=str(folder),
                port=reservation.getsockname()[1],
                secret_key_base=secret_key_base,
            )
        finally:
            await asyncio.to_thread(stack.close)


@contextlib.contextmanager
def _socket_folder(data_dir: Path | None) -> Iterator[Path]:
    """A new private folder in which sockets can be made, removed at the end. Blocking.

    Raises:
        ConfigError: no place can have one.
    """
    places = _places(data_dir)
    reasons: list[str] = []
    for place in places:
        try:
            _sweep(place)
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        except OSError as error:
            reasons.append(f"{place}: {error.strerror or error}")
            continue
        try:
            with _locked(folder):
                try:
                    _try_socket(folder)
                except OSError as error:
                    reasons.append(f"{place}: {error.strerror or error}")
                    continue
                yield folder
                return
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    raise ConfigError(
        f"workers: there is no place for the sockets of the processes ({'; '.join(reasons)}); set "
        "TMPDIR to a folder with a short path in which this user may write"
    )


def _places(data_dir: Path | None) -> Sequence[Path]:
    """Where the folder may be, the best first. A cleaner may empty folders for temporary files."""
    places = [] if data_dir is None else [data_dir.absolute()]
    with contextlib.suppress(OSError):  # there is none that can be written
        places.append(Path(tempfile.gettempdir()))
    return places or [Path("/tmp")]  # noqa: S108 - only for the error message


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock that tells `_sweep` of other servers that this folder is in use."""
    with open_private(folder / _LOCK, "ab") as file:
        if sys.platform != "win32":
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield


def _sweep(place: Path) -> None:
    """Remove the folders of supervisors that were killed. Blocking."""
    if sys.platform == "win32":
        return
    for folder in place.glob(f"{PREFIX}*"):
        # Other programs' folders have no lock file, and those of other users cannot be opened.
        with contextlib.suppress(OSError), (folder / _LOCK).open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def _try_socket(folder: Path) -> None:
    """Make the socket with the longest name. Raises OSError if that is not possible."""
    with usable_folder(folder) as short, socket.socket(socket.AF_UNIX) as probe:
        probe.bind(str(short / _PROBE))
    (folder / _PROBE).unlink()


def reserve_port(host: str, port: int) -> socket.socket:
    """Bind a socket to the port without listening; blocking.

    Raises:
        ConfigError: the address cannot be used.
    """
    try:
        family, socket_type, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, socket_type) as exclusive:
            # Without SO_REUSEPORT this fails if another server with workers has the port.
            exclusive.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name == "posix")
            exclusive.bind(address)
            address = exclusive.getsockname()
        with contextlib.ExitStack() as on_error:
            reservation = on_error.enter_context(socket.socket(family, socket_type))
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            reservation.bind(address)
            on_error.pop_all()
    except (OSError, UnicodeError) as error:
        raise ConfigError(explain_bind_error(host, port, error)) from error
    return reservation
