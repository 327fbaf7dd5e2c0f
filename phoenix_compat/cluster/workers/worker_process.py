"""The link between a worker process and its supervisor, over standard input.

Standard input is a socket. The supervisor writes a WorkerProcess, and the worker replies `ready`
once it serves. From then on the worker answers each ping of the supervisor with a byte. Each side
notices the end of the other by the end of the stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from phoenix_compat.errors import ConfigError
from phoenix_compat.redaction import live_secrets

READY: Final = b"ready\n"
PING: Final = b"?"

_STDIN: Final = 0
_READ_BYTES: Final = 4_096
_MAX_SOCKET_PATH_BYTES: Final = 107
_MAX_NAME_BYTES: Final = len("/63.http")


class WorkerProcess(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one worker process; all but `node` are the same for all of them.

    Attributes:
        node: the number of this process, less than `size`.
        size: the number of worker processes.
        folder: the private folder of their sockets; the supervisor removes it at the end.
        port: the port on which all of them listen.
        secret_key_base: the shared secret, so that tokens and long-poll sessions are valid in all
            processes.
        emulator_url, emulator_token: the URL and the API token of the emulator, if the supervisor
            runs it.
        control_token: the token that control routes need, if the command has such routes.
        settings: the settings of the command, with which every worker starts, as text that only the
            command understands. It may contain secrets.
    """

    node: int
    size: int
    folder: str
    port: int
    secret_key_base: str
    emulator_url: str | None = None
    emulator_token: str | None = None
    control_token: str | None = None
    settings: str | None = None

    @property
    def path(self) -> Path:
        """The folder of the sockets."""
        return Path(self.folder)

    def http_path(self, node: int) -> Path:
        """The Unix socket on which a node serves HTTP to the other nodes."""
        return self.path / f"{node}.http"

    def pack(self) -> bytes:
        """Encode it as one line of JSON."""
        return msgspec.json.encode(self) + b"\n"


class SupervisorLink:
    """The worker's end of the socket to its supervisor."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._folder = contextlib.ExitStack()

    @classmethod
    def open(cls) -> tuple[WorkerProcess, SupervisorLink]:
        """Read the WorkerProcess from standard input; blocking, before the event loop starts.

        Raises:
            ConfigError: this process was not started by a supervisor.
        """
        try:
            sock = socket.socket(fileno=_STDIN)
            with sock.makefile("rb") as reader:
                worker_process = msgspec.json.decode(reader.readline(), type=WorkerProcess)
        except (OSError, msgspec.MsgspecError) as error:
            raise ConfigError(
                "--as-worker is only for processes that the supervisor of --workers starts"
            ) from error
        live_secrets.register(
            worker_process.secret_key_base,
            worker_process.emulator_token,
            worker_process.control_token,
        )
        sock.settimeout(0)
        link = cls(sock)
        folder = link._folder.enter_context(usable_folder(worker_process.path))
        return msgspec.structs.replace(worker_process, folder=str(folder)), link

    def ready(self) -> None:
        """Tell the supervisor that this process is ready."""
        self._socket.send(READY)

    def watch(self, supervisor_ended: asyncio.Event) -> None:
        """Answer pings, and set an event when the supervisor has ended."""
        loop = asyncio.get_running_loop()

        def readable() -> None:
            try:
                pings = self._socket.recv(_READ_BYTES)
                if pings:
                    self._socket.send(pings)
                    return
            except BlockingIOError:
                return  # the supervisor does not read at the moment
            except OSError:
                pass  # it has ended
            loop.remove_reader(self._socket)
            supervisor_ended.set()

        loop.add_reader(self._socket, readable)


@contextlib.contextmanager
def usable_folder(folder: Path) -> Iterator[Path]:
    """The folder by a path that is short enough for sockets, within the block. Blocking.

    The kernel takes paths of up to 107 bytes. On Linux every open folder has a short one.

    Raises:
        OSError: the folder cannot be opened.
    """
    is_short = len(os.fsencode(folder)) + _MAX_NAME_BYTES <= _MAX_SOCKET_PATH_BYTES
    if is_short or sys.platform != "linux":
        yield folder
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
