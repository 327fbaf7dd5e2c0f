"""A worker process's place among the others, as its supervisor gives it out over standard input.

Standard input is a socket: the supervisor writes the worker process, the worker answers `ready`
once it
serves, and the end of the stream tells either side that the other is gone.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Final

import msgspec

from phoenix_compat.errors import ConfigError

READY: Final = b"ready\n"

_STDIN: Final = 0


class WorkerProcess(msgspec.Struct, frozen=True, kw_only=True):
    """What the processes of one server share, and which of them this is.

    Attributes:
        node: the process's number, below `size`.
        folder: where their sockets are; private, gone with the supervisor.
        port: where all of them listen.
        secret_key_base: signs for all: a token or a long-poll session of one is good at another.
        emulator_url: where the supervisor runs the emulator, if it does.
    """

    node: int
    size: int
    folder: str
    port: int
    secret_key_base: str
    emulator_url: str | None = None

    @property
    def path(self) -> Path:
        """The folder of the sockets."""
        return Path(self.folder)

    def http_path(self, node: int) -> Path:
        """Where a node answers HTTP of the other nodes."""
        return self.path / f"{node}.http"

    def pack(self) -> bytes:
        """The worker process as a line."""
        return msgspec.json.encode(self) + b"\n"


class SupervisorLink:
    """The worker's end of the socket to its supervisor."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    @classmethod
    def take(cls) -> tuple[WorkerProcess, SupervisorLink]:
        """Read the worker process from standard input; blocking, before there is a loop.

        Raises:
            ConfigError: this process was not started by a supervisor.
        """
        try:
            line = socket.socket(fileno=_STDIN)
            with line.makefile("rb") as reader:
                worker_process = msgspec.json.decode(reader.readline(), type=WorkerProcess)
        except (OSError, msgspec.MsgspecError) as error:
            raise ConfigError("--as-worker is for processes that --workers starts") from error
        line.settimeout(0)
        return worker_process, cls(line)

    def ready(self) -> None:
        """Say that this process serves."""
        self._line.send(READY)

    def watch(self, gone: asyncio.Event) -> None:
        """Have an event set when the supervisor is gone."""
        loop = asyncio.get_running_loop()

        def readable() -> None:
            loop.remove_reader(self._line)
            gone.set()

        loop.add_reader(self._line, readable)
