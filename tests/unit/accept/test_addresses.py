"""Which addresses are one client's, and how many connections each may have."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pytest

from phoenix_compat.accept import Connections
from phoenix_compat.accept.accepted import AcceptedSocket
from phoenix_compat.accept.addresses import client_of, is_loopback
from phoenix_compat.server.process.connection_limit import connections_for
from tests.logged import logged_lines


@contextmanager
def connections_from(
    connections: Connections, addresses: Sequence[str | None]
) -> Iterator[list[AcceptedSocket]]:
    """A connection from each address; those that were admitted are yielded."""
    with ExitStack() as ends:
        admitted = []
        for address in addresses:
            own, other = socket.socketpair()
            ends.callback(other.close)
            accepted = AcceptedSocket(
                socket.AF_INET, 0, own.detach(), connections.closed, peer_address=address
            )
            ends.callback(accepted.close)
            if connections.admit(accepted):
                admitted.append(accepted)
            else:
                accepted.on_close = None
        yield admitted


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_one_client_is_an_ipv4_address_or_an_ipv6_network(address: str, client: str) -> None:
    """A client has as many IPv6 addresses as it likes, and one network."""
    assert client_of(address) == client


def test_loopback_is_this_machine() -> None:
    """All of 127.0.0.0/8, and ::1."""
    assert [is_loopback(address) for address in ("127.0.0.1", "127.9.9.9", "::1")] == [True] * 3
    assert not any(is_loopback(address) for address in ("192.0.2.7", "::2", "12.7.0.1"))


def test_an_address_has_so_many_connections() -> None:
    """Further ones are not admitted; a place is free again when one of them is closed."""
    connections = Connections(100, max_per_address=2)

    with connections_from(connections, ["192.0.2.7"] * 3 + ["192.0.2.8"]) as admitted:
        first = len(admitted), connections.open
        admitted[0].close()
        with connections_from(connections, ["192.0.2.7"]) as again:
            second = len(again), connections.open

    assert (first, second) == ((3, 3), (1, 3))
    assert connections.open == 0
    assert connections._open_by_client == {}


def test_addresses_of_one_network_share_their_places() -> None:
    """A client that changes its IPv6 address with each connection gets no further."""
    connections = Connections(100, max_per_address=2)

    with connections_from(connections, [f"2001:db8::{n:x}" for n in range(5)]) as admitted:
        assert len(admitted) == 2


def test_this_machine_unix_sockets_and_trusted_proxies_are_not_counted() -> None:
    """Many clients come through each of them."""
    trusting = Connections(100, max_per_address=1, is_uncounted="192.0.2.1".__eq__)
    usual = Connections(100, max_per_address=1)

    with connections_from(trusting, ["192.0.2.1"] * 5) as by_proxy:
        pass
    with connections_from(usual, ["127.0.0.1", "127.0.0.1", "::1", "::1", None, None]) as local:
        pass

    assert (len(by_proxy), len(local)) == (5, 6)


def test_refusals_of_an_address_are_counted_and_logged_once() -> None:
    """Apart from those of a full server."""
    connections = Connections(100, max_per_address=5)

    with logged_lines() as lines:
        for _ in range(100):
            connections.refused(is_for_address=True)

    assert connections.counts["refused_per_address"] == 100
    assert connections.counts["refused_over_cap"] == 0
    assert [(line["event"], line["max"]) for line in lines] == [("connections.address_at_limit", 5)]


@pytest.mark.parametrize(
    ("max_connections", "per_address", "processes", "limit"),
    [
        (8_000, None, 1, 2_000),
        (1_000, None, 1, 500),  # one address cannot take all places
        (8_000, 6_000, 1, 6_000),
        (8_000, 10, 4, 3),
        (8_000, None, 2, 1_000),
        (1, None, 1, 1),
    ],
)
def test_the_limit_of_an_address(
    max_connections: int, per_address: int | None, processes: int, limit: int
) -> None:
    """As the settings say, and a process's share of it."""
    connections = connections_for(
        max_connections, concurrency=8, processes=processes, per_address=per_address
    )

    assert connections.max_per_address == limit
