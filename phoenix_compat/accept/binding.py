"""Sockets bound to a host and a port, as many as the name has addresses."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final

_MAX_TRIES: Final = 8
"""A free port of the first address may be taken on the second; then another is tried."""

_NO_HOST_NAME: Final = "This is not a host name"
_REMEDIES: Final = {
    socket.EAI_NONAME: "give a name or an address of this machine with --host",
    errno.EADDRINUSE: "stop the program that uses this port (`ss -ltnp` shows it), or choose "
    "another port with --port",
    errno.EADDRNOTAVAIL: "choose an address of this machine with --host; 0.0.0.0 stands for all "
    "of them",
    errno.EACCES: "ports below 1024 need privileges; choose a higher one with --port",
}


async def bound_tcp_sockets(
    host: str, port: int, *, reuse_port: bool = False
) -> tuple[socket.socket, ...]:
    """A socket for each address of the host, all on one port; none listens yet.

    Args:
        port: 0 takes a free one.
        reuse_port: share the port with other processes (SO_REUSEPORT).

    Raises:
        OSError: the address is not one of this machine, or the port is taken.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except UnicodeError as error:  # a label that is empty, or longer than DNS allows
        raise socket.gaierror(socket.EAI_NONAME, _NO_HOST_NAME) from error
    addresses = list(dict.fromkeys((info[0], info[2], info[4]) for info in found))
    for tries_left in reversed(range(_MAX_TRIES)):
        try:
            return _bound(addresses, port, reuse_port=reuse_port)
        except OSError as error:
            if port or error.errno != errno.EADDRINUSE or not tries_left:
                raise
    raise AssertionError  # the last try returns or raises


def explain_bind_error(host: str, port: int, error: OSError | UnicodeError) -> str:
    """Why a server cannot listen on an address, and what to do: a sentence for people."""
    remedy = "choose another address with --host and --port"
    if isinstance(error, UnicodeError):
        reason = _NO_HOST_NAME
    else:
        reason = error.strerror or str(error)
        remedy = _REMEDIES.get(error.errno or 0, remedy)
    name = f"[{host}]" if ":" in host else host
    return f"cannot listen on {name}:{port}: {reason}; {remedy}"


def _bound(
    addresses: Sequence[tuple[int, int, Any]], port: int, *, reuse_port: bool
) -> tuple[socket.socket, ...]:
    made: list[socket.socket] = []
    missing: OSError | None = None
    with ExitStack() as undone:
        for family, proto, address in addresses:
            try:
                bound = undone.enter_context(socket.socket(family, socket.SOCK_STREAM, proto))
                _set_options(bound, reuse_port=reuse_port)
                bound.bind((address[0], port, *address[2:]))
            except OSError as error:
                # An address family that is switched off, IPv6 for example; another may do.
                if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                    raise
                missing = error
                continue
            made.append(bound)
            port = port or bound.getsockname()[1]
        if not made:
            raise missing or OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        undone.pop_all()
    return tuple(made)


def _set_options(made: socket.socket, *, reuse_port: bool) -> None:
    made.setblocking(False)  # noqa: FBT003 - its only form
    if os.name == "posix":
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse_port:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if made.family == socket.AF_INET6:
        # [::] is IPv6 alone: IPv4 has a socket of its own when both are asked for.
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
