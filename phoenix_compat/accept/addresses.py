"""Which connections count as those of one client, and which addresses are not counted."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Final

_NETWORK_BITS: Final = 64
_INTERFACE_BITS: Final = 128 - _NETWORK_BITS


def is_loopback(address: str) -> bool:
    """Whether a client with this IP address is on this machine."""
    return address.startswith("127.") or address == "::1"


def client_of(address: str) -> str:
    """What stands for the client with this IP address.

    An IPv4 address is one client, perhaps many behind a NAT. Of IPv6 it is the network of 64 bits,
    which is the least that a client gets and in which it has as many addresses as it likes.
    """
    if ":" not in address:
        return address
    number = int(IPv6Address(address.partition("%")[0]))
    return f"{IPv6Address(number >> _INTERFACE_BITS << _INTERFACE_BITS)}/{_NETWORK_BITS}"
