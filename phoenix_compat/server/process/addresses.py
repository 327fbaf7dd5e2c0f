"""Whether a host is this machine itself."""

from __future__ import annotations

import ipaddress
from typing import Final

_LOCALHOST: Final = "localhost"


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
