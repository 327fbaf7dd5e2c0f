"""The server's end of the control socket.

The process that has the database open owns the socket. Its lock on the database keeps other servers
away, so a socket that it finds was left behind by a dead process.

Only the server's own user and root may send commands: the mode of the file keeps others from
connecting, and the kernel tells whose process has connected. There is no further authentication.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import structlog

from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.server.control.messages import (
    MAX_REQUEST_BYTES,
    Handler,
    Request,
    Response,
    request_decoder,
    socket_address,
)

MAX_CONNECTIONS: Final = 8
REQUEST_TIMEOUT_S: Final = 5.0
"""How long a client may take to send its request, and to receive the response."""
_STOP_TIMEOUT_S: Final = 5.0
_BACKLOG: Final = 4
_MODE: Final = 0o600
_ROOT: Final = 0
_UCRED: Final = struct.Struct("3i")

log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class ControlCounts:
    """What happened at the socket.

    Attributes:
        requests: requests that were carried out or failed.
        refused_users: connections of users who may not send commands.
        refused_busy: connections beyond `MAX_CONNECTIONS`.
        late: clients that did not send or receive in time.
        invalid: requests that are too long, or are not requests.
    """

    requests: int = 0
    refused_users: int = 0
    refused_busy: int = 0
    late: int = 0
    invalid: int = 0


class ControlSocket:
    """A listening control socket.

    Args:
        path: where it is.
        handlers: the commands by name.
        timeout_s: see REQUEST_TIMEOUT_S.
        users: the ids of the users who may send commands; None for this process's user and root.
    """

    def __init__(
        self,
        path: Path,
        handlers: Mapping[str, Handler],
        *,
        timeout_s: float = REQUEST_TIMEOUT_S,
        users: Collection[int] | None = None,
    ) -> None:
        self.counts = ControlCounts()
        self._path = path
        self._handlers = handlers
        self._timeout_s = timeout_s
        self._users = users
        self._server: asyncio.Server | None = None
        self._identity: int | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. If the file system does not allow it, this is logged and the server goes on."""
        if not hasattr(socket, "AF_UNIX"):
            return
        try:
            listener, self._identity = await asyncio.to_thread(_bound, self._path)
        except OSError as error:
            reason = f"{error.strerror or error}; commands need the server to be stopped"
            log.warning("control.unavailable", path=str(self._path), reason=reason)
            return
        # asyncio accepts up to `backlog` connections per loop iteration.
        self._server = await asyncio.start_unix_server(
            self._serve, sock=listener, limit=MAX_REQUEST_BYTES, backlog=_BACKLOG
        )

    async def stop(self) -> None:
        """Remove the socket, and let the commands end that are being carried out."""
        if self._server is None:
            return
        await asyncio.to_thread(self._remove)
        self._server.close()
        if self._clients:
            _, pending = await asyncio.wait(set(self._clients), timeout=_STOP_TIMEOUT_S)
            for client in pending:
                client.cancel()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            if self._path.lstat().st_ino == self._identity:  # not the socket of the next owner
                self._path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio runs this in a task
        is_busy = len(self._clients) >= MAX_CONNECTIONS
        self._clients.add(task)
        try:
            if is_busy:
                self.counts.refused_busy += 1
                response = Response(error="the server is busy with other commands; try again")
            else:
                response = await self._respond(reader, writer)
            await self._send(writer, response)
        except ConnectionError:
            pass  # the client is gone
        finally:
            self._clients.discard(task)
            writer.transport.abort()

    async def _respond(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Response:
        if not self._is_allowed(writer):
            return Response(error="only the user who runs the server, and root, may send commands")
        try:
            async with asyncio.timeout(self._timeout_s):
                line = await reader.readuntil(b"\n")
            request = request_decoder.decode(line)
        except TimeoutError:
            self.counts.late += 1
            return Response(error="the request was not sent in time")
        except (
            asyncio.LimitOverrunError,
            asyncio.IncompleteReadError,
            msgspec.DecodeError,
            RecursionError,  # of the decoder
        ):
            self.counts.invalid += 1
            return Response(error="the request cannot be understood")
        self.counts.requests += 1
        return await self._carry_out(request)

    async def _carry_out(self, request: Request) -> Response:
        handler = self._handlers.get(request.command)
        if handler is None:
            return Response(
                error=f"the running server does not know the command {request.command[:50]!r}; "
                "restart it, so that it has the version of this program"
            )
        try:
            return Response(result=await handler(request.arguments))
        except msgspec.ValidationError as error:
            return Response(error=f"the arguments cannot be used: {error}")
        except PhoenixCompatError as error:
            return Response(error=str(error))
        except Exception:  # one command's bug must not end the others
            log.exception("control.crashed", command=request.command)
            return Response(error="the command failed because of a bug; see the server's log")

    async def _send(self, writer: asyncio.StreamWriter, response: Response) -> None:
        """Send a response and wait until the client has it, or until it is too slow."""
        writer.transport.set_write_buffer_limits(high=0)
        writer.write(msgspec.json.encode(response) + b"\n")
        try:
            async with asyncio.timeout(self._timeout_s):
                await writer.drain()
        except TimeoutError:
            self.counts.late += 1

    def _is_allowed(self, writer: asyncio.StreamWriter) -> bool:
        if not hasattr(socket, "SO_PEERCRED"):
            return True  # the mode of the file keeps others out
        raw = writer.get_extra_info("socket").getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size
        )
        user = _UCRED.unpack(raw)[1]
        allowed = {os.geteuid(), _ROOT} if self._users is None else self._users
        if user in allowed:
            return True
        self.counts.refused_users += 1
        log.warning("control.refused", user=user)
        return False


def _bound(path: Path) -> tuple[socket.socket, int]:
    """Bind a socket that only this user can connect to; returns it with its inode. Blocking.

    Raises:
        OSError: there is another file at the path, or the folder does not allow sockets.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(errno.EEXIST, "there is a file at this path; move it away")
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # On Linux the new file gets the socket's mode at once, elsewhere in the next step.
        os.fchmod(listener.fileno(), _MODE)
        with socket_address(path) as address:
            listener.bind(address)
        path.chmod(_MODE)
        identity = path.lstat().st_ino
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)  # noqa: FBT003 - its only form
    return listener, identity
