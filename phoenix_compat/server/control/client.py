"""Sends a command to the running server."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from phoenix_compat.server.control.messages import (
    MAX_RESPONSE_BYTES,
    ControlError,
    Request,
    response_decoder,
    socket_address,
)

CONNECT_TIMEOUT_S: Final = 5.0
RESPONSE_TIMEOUT_S: Final = 60.0

_RETRY_S: Final = 0.05
_NOT_LISTENING: Final = frozenset({errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR})


class NotListeningError(ControlError):
    """No server listens at the socket."""


async def send_command(
    path: Path,
    command: str,
    arguments: Mapping[str, object],
    *,
    timeout_s: float = RESPONSE_TIMEOUT_S,
) -> Any:
    """Send a command to the server that owns a control socket, and return its result.

    Raises:
        NotListeningError: no server listens there.
        ControlError: the command failed, or it is unknown whether it was carried out.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(
            sock=await _connected(path), limit=MAX_RESPONSE_BYTES
        )
    except OSError as error:
        if error.errno in _NOT_LISTENING:
            raise NotListeningError(f"no server listens at {path}") from error
        raise ControlError(
            f"cannot connect to the running server at {path}: {error.strerror or error}; "
            "run this command as the user who runs the server, or as root"
        ) from error
    try:
        async with asyncio.timeout(timeout_s):
            writer.write(msgspec.json.encode(Request(command, dict(arguments))) + b"\n")
            response = response_decoder.decode(await reader.readuntil(b"\n"))
    except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
        raise ControlError(
            "the server ended or did not answer in time, so it is unknown whether the command "
            "was carried out"
        ) from error
    except (asyncio.LimitOverrunError, msgspec.DecodeError) as error:
        raise ControlError(
            "the server's answer cannot be understood; restart it, so that it has the version of "
            "this program"
        ) from error
    finally:
        writer.transport.abort()
    if response.error is not None:
        raise ControlError(response.error)
    return response.result


async def _connected(path: Path) -> socket.socket:
    """Connect. If too many others are connecting, try again for a while.

    asyncio cannot do this: it takes the error for a connection that is in progress.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + CONNECT_TIMEOUT_S
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.setblocking(False)  # noqa: FBT003 - its only form
    try:
        while True:
            try:
                with socket_address(path) as address:
                    client.connect(address)
            except BlockingIOError:
                if loop.time() > deadline_s:
                    raise
                await asyncio.sleep(_RETRY_S)
            else:
                return client
    except BaseException:
        client.close()
        raise
