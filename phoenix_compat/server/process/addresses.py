"""Whether a host is this machine itself, and by which address others reach it."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import Final

ANY_ADDRESSES: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not listened on
"""What stands for all addresses of this machine; it is no address that a client can use."""

_LOCALHOST: Final = "localhost"
_LOOPBACKS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - the same
_ELSEWHERE: Final = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}  # noqa: S104 - the same
"""Addresses of documentation (RFC 5737, RFC 3849); nothing is sent there."""
_DISCARD_PORT: Final = 9
_CONTAINER_MARKS: Final = (Path("/.dockerenv"), Path("/run/.containerenv"))


def is_loopback_name(host: str) -> bool:
    """Whether a host name or an IP address, without port, is the loopback; no look-up is done."""
    name = host.lower().removesuffix(".").removeprefix("[").removesuffix("]")
    if name == _LOCALHOST or name.endswith(f".{_LOCALHOST}"):  # RFC 6761, section 6.3
        return True
    return is_loopback_address(name)


def is_loopback_address(text: str) -> bool:
    """Whether a text is an IP address of the loopback."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def reachable_host(host: str) -> str:
    """The address by which other machines of the network reach a server that listens on a host.

    For "all addresses" it is the one of the default route, or the loopback if there is no route. In
    a container it is the loopback, too: only whoever started the container knows its address.
    """
    if host not in ANY_ADDRESSES:
        return host
    if any(mark.exists() for mark in _CONTAINER_MARKS):
        return _LOOPBACKS[host]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.setblocking(False)  # noqa: FBT003 - its only form
            # This only chooses a route: a datagram socket sends nothing to connect.
            probe.connect((_ELSEWHERE[host], _DISCARD_PORT))
            found = str(probe.getsockname()[0])
    except OSError:
        return _LOOPBACKS[host]
    return found


def reachable_url(url: str) -> str:
    """The URL of a server, with `reachable_host` in place of its host."""
    scheme, separator, place = url.partition("://")
    host, colon, port = place.rpartition(":")
    if not separator or not colon:
        return url
    found = reachable_host(host.removeprefix("[").removesuffix("]"))
    return f"{scheme}://{f'[{found}]' if ':' in found else found}:{port}"
