"""Decides who may connect: origin, version and the handler's `connect`; for every transport.

Source: phoenix 1.8.12, lib/phoenix/socket.ex, __connect__/3; lib/phoenix/socket/transport.ex,
check_origin/5.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from phoenix_compat.bounded import brief, plain
from phoenix_compat.cluster import Cluster
from phoenix_compat.endpoint import Endpoint, LongPollOptions, MountedSocket, TransportOptions
from phoenix_compat.errors import ConfigError
from phoenix_compat.protocol.origin import Origin, is_origin_allowed
from phoenix_compat.protocol.query import Params
from phoenix_compat.protocol.serializer import DEFAULT_VSN, Serializer, is_version, negotiate
from phoenix_compat.result import Result, error
from phoenix_compat.socket import ConnectInfo, Socket

log = logging.getLogger(__name__)


class Admitted(NamedTuple):
    """A client that may connect."""

    serializer: Serializer
    socket: Socket


def check_mount(endpoint: object, cluster: object, bus: object = None) -> None:
    """Check what `mount` was given, and that there is something to mount. Raises ConfigError."""
    if not isinstance(endpoint, Endpoint):
        raise ConfigError(f"mount(app, endpoint) needs an Endpoint, got {brief(endpoint)}")
    if not (cluster is None or isinstance(cluster, Cluster)):
        raise ConfigError(f"cluster={brief(cluster)}: write cluster=Cluster(), or leave it out")
    if not endpoint.sockets:
        raise ConfigError(
            'the endpoint has no socket: write endpoint.socket("/socket", UserSocket) before '
            "mount(app, endpoint)"
        )
    if endpoint.bus is not None:
        _check_bus(endpoint, cluster, bus)


def _check_bus(endpoint: Endpoint, cluster: object, bus: object) -> None:
    if cluster is not None or bus is not None:
        raise ConfigError(
            "this endpoint has a bus, which connects the processes of one machine too: leave out "
            f"{'bus' if cluster is None else 'cluster'}=, or write Endpoint() without bus="
        )
    has_sessions = any(
        isinstance(options, LongPollOptions)
        for socket in endpoint.sockets
        for options in socket.transports
    )
    if has_sessions and endpoint.cluster_key() is None:
        raise ConfigError(
            "long-polling over several nodes needs a secret that all of them share, or a client "
            "would begin a new session with each request: write Endpoint(secret_key_base=...), the "
            "same on each node"
        )


def check_all_mounted(endpoint: Endpoint, count: int) -> None:
    """Check, at the start, that no socket was added after mount. Raises ConfigError.

    Args:
        count: how many sockets were mounted.
    """
    for socket in endpoint.sockets[count:]:
        raise ConfigError(
            f"the socket at {socket.path!r} was added after mount(app, endpoint) and would not "
            f"be served: write endpoint.socket({socket.path!r}, {socket.handler.__name__}) "
            "before mount"
        )


def is_from_allowed_origin(
    origin: str | None, conn: Origin, endpoint: Endpoint, options: TransportOptions
) -> bool:
    """Whether a request comes from a page that may connect; a refusal is logged.

    Args:
        origin: the request's Origin header. None means that no browser sent it, or that it comes
            from a page of this server.
        conn: scheme, host and port of the request itself.
    """
    if origin is None:
        return True
    check = endpoint.check_origin if options.check_origin is None else options.check_origin
    is_allowed = is_origin_allowed(origin, check, url_host=endpoint.url_host, conn=conn)
    if not is_allowed:
        log.error(
            "Could not check origin for Phoenix.Socket transport.\n"
            "Origin of the request: %.200s\n"
            "To allow it, name its host in `check_origin`, as in ['//example.com'], or set "
            "`%s` to where your pages are served.",
            plain(origin),
            endpoint.host_setting,
        )
    return is_allowed


async def admit(
    params: Params,
    info: ConnectInfo,
    endpoint: Endpoint,
    socket: MountedSocket,
    options: TransportOptions,
) -> Admitted | Result:
    """Negotiate the version and call `connect`.

    Args:
        params: the query parameters and the path variables.
        info: what the transport knows about the request.

    Returns:
        The admitted client, or the `error(...)` that refuses it.

    Raises:
        Exception: whatever `connect` raised; that is HTTP 500.
    """
    vsn = params.get("vsn", DEFAULT_VSN)
    serializer = negotiate(vsn, options.serializers)
    if serializer is None:
        _log_refused_version(vsn, [requirement for _, requirement in options.serializers])
        return error()
    connected = await socket.connect(
        endpoint,
        params,
        info,
        serializer=serializer.name,
        transport=options.transport,
    )
    return connected if isinstance(connected, Result) else Admitted(serializer, connected)


def _log_refused_version(vsn: object, requirements: list[str]) -> None:
    if is_version(vsn):
        log.warning(
            "The client's requested transport version \"%s\" does not match server's version "
            "requirements of %s",
            plain(vsn),
            requirements,
        )
    else:
        shown = f'"{plain(vsn)}"' if isinstance(vsn, str) else brief(vsn)
        log.warning("Client sent invalid transport version %s", shown)
