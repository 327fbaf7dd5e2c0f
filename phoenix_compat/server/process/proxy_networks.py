"""Reads the setting `trusted_proxies`: the networks of proxies, and the word for a Unix socket."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, TypeAlias

UNIX: Final = "unix"
"""The entry for the proxy that connects over the Unix socket on which the server listens."""

Network: TypeAlias = IPv4Network | IPv6Network

_MAX_ENTRY_CHARS: Final = 64
_MAPPED: Final = IPv6Network("::ffff:0:0/96")


def parse_network(entry: str) -> Network:
    """The network of an entry that is not `UNIX`; one address is a network of its own.

    IPv4 addresses in the form of IPv6 (::ffff:10.0.0.1) are returned as IPv4.

    Raises:
        ValueError: what is wrong with it.
    """
    if len(entry) > _MAX_ENTRY_CHARS:
        raise ValueError(f"an entry has more than {_MAX_ENTRY_CHARS} characters")
    try:
        network = ip_network(entry, strict=False)
    except ValueError as error:
        raise ValueError(
            f'{entry!r} is not an address or a network, such as "10.0.0.0/8", or "{UNIX}"'
        ) from error
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        mapped = network.network_address.ipv4_mapped
        network = IPv4Network((int(mapped or 0), network.prefixlen - 96))
    if network.prefixlen == 0:
        raise ValueError(
            f"{entry!r} would trust every client; name the addresses of your proxies only"
        )
    return network


def checked_proxy(entry: str) -> str:
    """Validate an entry for pydantic. Raises ValueError."""
    if entry != UNIX:
        parse_network(entry)
    return entry
