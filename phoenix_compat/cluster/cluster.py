"""Makes the processes that a server has started one server: gunicorn, uvicorn --workers, or yours.

    mount(app, endpoint, cluster=Cluster())

Each process takes a free number when it starts, and keeps it until it ends: it holds the lock of a
file in a folder that all of them find by the endpoint's secret. Then a UnixBus connects them.

    number    N.lock, held as long as the process lives    N.bus, the process's end of the bus
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, Protocol

from phoenix_compat.cluster.sharing import SharedEndpoint, Sharing
from phoenix_compat.cluster.unix import UnixBus
from phoenix_compat.errors import ConfigError
from phoenix_compat.private_files import FOLDER_MODE, make_private_folder, open_private

if sys.platform != "win32":
    import fcntl

MAX_PROCESSES: Final = 16
_MAX_PROCESSES: Final = 1_000
_MAX_PATH_BYTES: Final = 107


class ClusteredEndpoint(SharedEndpoint, Protocol):
    """What a cluster needs of an endpoint."""

    def cluster_key(self) -> str | None:
        """A text that all processes with the same secret have; None without a secret."""


class Cluster:
    """The processes of one server on this machine; give it to `mount`.

    Broadcasts, `disconnect` and presences reach the clients of all processes, and a long-poll
    session answers in each of them. The endpoint needs a `secret_key_base`, the same in all
    processes.

    Args:
        name: tells two servers apart that have the same secret and the same user on one machine.
        max_processes: the most processes that run at once, also while a reload starts new ones
            before it ends the old ones. The same in all processes.
        folder: where the sockets of the bus are, private to the user of the server, with a short
            path. None chooses one among the temporary files, by the secret and the name.

    Attributes:
        bus: this process's end of the bus; None while the application does not run.

    Raises:
        ConfigError: an argument is invalid.
    """

    def __init__(
        self, name: str = "", *, max_processes: int = MAX_PROCESSES, folder: Path | None = None
    ) -> None:
        values: tuple[Any, Any, Any] = (name, max_processes, folder)
        if not isinstance(values[0], str):
            raise ConfigError(f'Cluster: name is {name!r}, but must be a text, such as name="chat"')
        if type(values[1]) is not int or not 1 <= max_processes <= _MAX_PROCESSES:
            raise ConfigError(
                f"Cluster: max_processes is {max_processes!r}, but must be a whole number from 1 "
                f"to {_MAX_PROCESSES}, such as max_processes={MAX_PROCESSES}"
            )
        if folder is not None and not isinstance(values[2], Path):
            raise ConfigError(
                f'Cluster: folder is {folder!r}, but must be a Path, such as Path("/run/chat")'
            )
        self.bus: UnixBus | None = None
        self._name = name
        self._max_processes = max_processes
        self._folder = folder
        self._lock: Any = None
        self._sharing: Sharing | None = None

    async def open(self, endpoint: ClusteredEndpoint) -> UnixBus:
        """Join the other processes; `mount` does this when the application starts.

        Raises:
            ConfigError: the endpoint has no secret, the folder cannot be used, or all numbers are
                taken.
        """
        if self.bus is not None:
            raise ConfigError(
                "this Cluster is open already in this process: write one Cluster() for each mount, "
                "with names of their own"
            )
        key = endpoint.cluster_key()
        if key is None:
            raise ConfigError(
                "a Cluster needs a secret that all processes share: write "
                "Endpoint(secret_key_base=...), the same in each of them"
            )
        folder, number = await asyncio.to_thread(self._claim, key)
        bus = UnixBus(folder, number, self._max_processes)
        sharing = Sharing(endpoint, bus)
        try:
            await bus.__aenter__()
        except BaseException:
            self._release(sharing)
            raise
        self.bus, self._sharing = bus, sharing
        return bus

    async def close(self) -> None:
        """Leave the other processes; for clients of theirs, the presences of this one leave."""
        bus, sharing = self.bus, self._sharing
        if bus is None or sharing is None:
            return
        self.bus = self._sharing = None
        try:
            await bus.__aexit__()
        finally:
            self._release(sharing)

    def _release(self, sharing: Sharing) -> None:
        sharing.close()
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()  # which unlocks the number

    def _claim(self, key: str) -> tuple[Path, int]:
        """Find the folder and take a free number; blocking."""
        if sys.platform == "win32":
            raise ConfigError("a Cluster needs Unix sockets: run one process on this system")
        folder = self._folder or Path(tempfile.gettempdir()) / _folder_name(key, self._name)
        _make_folder(folder)
        for number in range(self._max_processes):
            file = open_private(folder / f"{number}.lock", "ab")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.close()
                continue
            self._lock = file
            return folder, number
        raise ConfigError(
            f"all {self._max_processes} numbers of the Cluster are taken: write "
            f"Cluster(max_processes={self._max_processes * 2}), or Cluster(name=...) if another "
            "server has the same secret"
        )


def _folder_name(key: str, name: str) -> str:
    cleaned = "".join(letter if letter.isalnum() else "-" for letter in name)[:20]
    return f"phoenix-cluster-{os.geteuid()}-{key}{'-' if name else ''}{cleaned}"


def _make_folder(folder: Path) -> None:
    """Create the folder, and check that nobody else can put sockets there; blocking."""
    if len(os.fsencode(folder / "999.bus")) > _MAX_PATH_BYTES:
        raise ConfigError(
            f"the path {str(folder)!r} is too long for a Unix socket: write "
            'Cluster(folder=Path("/run/chat")), with a short one'
        )
    try:
        make_private_folder(folder)
        found = folder.lstat()
    except OSError as error:
        raise ConfigError(f"the Cluster cannot use the folder {str(folder)!r}: {error}") from error
    is_private = not stat.S_IMODE(found.st_mode) & ~FOLDER_MODE
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or not is_private:
        raise ConfigError(
            f"the folder {str(folder)!r} of the Cluster is open to other users: remove it, or "
            f"write Cluster(folder=...) with one of yours that has mode {FOLDER_MODE:o}"
        )
