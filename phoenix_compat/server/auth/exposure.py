"""Refuses to start a server without authentication where others than this machine may reach it."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from phoenix_compat.errors import ConfigError
from phoenix_compat.server.process.addresses import is_loopback_address, is_loopback_name
from phoenix_compat.server.process.settings import Settings

WAYS_OUT = (
    'configure auth = ["keys"] and create a key with `phoenix-compat keys create NAME --scope '
    "create,read,cancel`; or, if everyone who reaches this server may use it and spend your money, "
    "start it with --insecure-no-auth, or set insecure_no_auth = true"
)


def check_exposure(settings: Settings, sockets: Sequence[socket.socket] = ()) -> None:
    """Check that a server without authentication can be reached from this machine only. Blocking.

    Args:
        sockets: what it listens on, if that is not host and port or the Unix socket.

    Raises:
        ConfigError: others may reach it; the text names the ways out.
    """
    if settings.has_auth or settings.insecure_no_auth:
        return
    reasons = list(_reasons(settings, sockets))
    if reasons:
        raise ConfigError(
            f"this server has no authentication (auth is none), and {' and '.join(reasons)}, so "
            f"others could use it; {WAYS_OUT}"
        )


def is_exposed(settings: Settings) -> bool:
    """Whether a server without authentication must not start with these settings. Blocking."""
    try:
        check_exposure(settings)
    except ConfigError:
        return True
    return False


def listens_on_loopback(settings: Settings) -> bool:
    """Whether only this machine can connect: on the loopback, or over a Unix socket. Blocking."""
    return settings.unix_socket is not None or _is_loopback(settings.host)


def refused_clients(settings: Settings) -> str | None:
    """A sentence about settings that are for clients which get 403 from this server; None if none.

    Without authentication it answers only this machine, and nothing that comes through a proxy.
    """
    if settings.has_auth or settings.insecure_no_auth:
        return None
    names = [name for name in ("allowed_hosts", "trusted_proxies") if getattr(settings, name)]
    if not names:
        return None
    return f"{' and '.join(names)} are set, but without authentication such requests get 403"


def _reasons(settings: Settings, sockets: Sequence[socket.socket]) -> Iterable[str]:
    if sockets:
        open_to = (_open_address(one) for one in sockets)
        yield from (f"a socket that it was given listens on {name}" for name in open_to if name)
    elif not listens_on_loopback(settings):
        yield f"host is {settings.host}"
    public = None if settings.public_url is None else urlsplit(settings.public_url).hostname
    if public is not None and not is_loopback_name(public):
        yield f"public_url is {settings.public_url}"


def _open_address(one: socket.socket) -> str | None:
    """The address of a socket that others than this machine can reach."""
    if one.family == socket.AF_UNIX:
        return None
    address = str(one.getsockname()[0])
    return None if is_loopback_address(address) else address


def _is_loopback(host: str) -> bool:
    """Whether a host to listen on is the loopback; names are looked up, as they are to listen."""
    if is_loopback_name(host):
        return True
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return True  # it cannot listen there either, and says so then
    return bool(found) and all(is_loopback_address(str(address[0])) for *_, address in found)
