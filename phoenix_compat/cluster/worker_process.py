"""The link between a worker process and its supervisor, over standard input.

Standard input is a socket. The supervisor writes a WorkerProcess, and the worker replies `ready`
once it serves. Each side notices the end of the other by the end of the stream.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Final

import msgspec

from phoenix_compat.errors import ConfigError
from phoenix_compat.redaction import live_secrets

READY: Final = b"ready\n"

_STDIN: Final = 0


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
    """

    node: int
    size: int
    folder: str
    port: int
    secret_key_base: str
    emulator_url: str | None = None
    emulator_token: str | None = None
    control_token: str | None = None

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
        live_secrets.register(worker_process.secret_key_base)
        sock.settimeout(0)
        return worker_process, cls(sock)

    def ready(self) -> None:
        """Tell the supervisor that this process is ready."""
        self._socket.send(READY)

    def watch(self, supervisor_ended: asyncio.Event) -> None:
        """Set an event when the supervisor has ended."""
        loop = asyncio.get_running_loop()

        def readable() -> None:
            loop.remove_reader(self._socket)
            supervisor_ended.set()

        loop.add_reader(self._socket, readable)
