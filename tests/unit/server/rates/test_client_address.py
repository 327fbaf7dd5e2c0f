"""The address of a client: whom the connection and the headers of trusted proxies name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from phoenix_compat.server.rates.client_address import MAX_HOPS, ClientAddresses

XFF = "X-Forwarded-For"
PROXIES = ("127.0.0.1", "10.0.0.0/8", "2001:db8:ffff::/48")
CLIENT = "203.0.113.7"


def request(peer: object, headers: Sequence[tuple[str, str]] = ()) -> web.Request:
    """A request over a connection with this peer: an address, or the name of a Unix socket."""
    transport = Mock()
    transport.get_extra_info = {"peername": peer}.get
    return make_mocked_request("GET", "/", CIMultiDict(headers), transport=transport)


def found(peer: str, *headers: tuple[str, str], proxies: Sequence[str] = PROXIES) -> str | None:
    return ClientAddresses(proxies).of(request((peer, 4000), headers))


@pytest.mark.parametrize(
    ("peer", "key"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("127.0.0.1", None),
        ("127.8.8.8", None),
        ("::1", None),
        ("::ffff:127.0.0.1", None),
    ],
)
def test_the_peer_is_the_client(peer: str, key: str | None) -> None:
    """Without trusted proxies: IPv4 as it is, IPv6 by its /64, and programs here not at all."""
    assert found(peer, proxies=()) == key


@pytest.mark.parametrize("header", [(XFF, CLIENT), ("Forwarded", f"for={CLIENT}")])
@pytest.mark.parametrize(("peer", "key"), [("198.51.100.9", "198.51.100.9"), ("127.0.0.1", None)])
def test_headers_of_others_are_not_read(
    peer: str, key: str | None, header: tuple[str, str]
) -> None:
    """Nobody is believed unless he is a trusted proxy, not even a program on this machine."""
    assert found(peer, header, proxies=["10.0.0.0/8"]) == key


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.1.2.3", "::ffff:10.1.2.3", "2001:db8:ffff::1"])
@pytest.mark.parametrize(
    ("value", "key"),
    [
        (CLIENT, CLIENT),
        ("203.0.113.7:50123", CLIENT),
        ("::ffff:203.0.113.7", CLIENT),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:443", "2001:db8:1:2::/64"),
        ("1.1.1.1, 203.0.113.7", CLIENT),
        ("1.1.1.1,203.0.113.7,10.9.9.9, 127.0.0.1", CLIENT),
        ("<script>, , 203.0.113.7", CLIENT),
        ("203.0.113.7, 2001:db8:ffff::5", CLIENT),
        ("10.9.9.9", None),
        ("::1", None),
        ("203.0.113.7, ::1", None),
    ],
)
def test_a_trusted_proxy_names_the_client(peer: str, value: str, key: str | None) -> None:
    """From the right, the first that is not trusted counts; what a client wrote left of it does
    not."""
    assert found(peer, (XFF, value)) == key


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("for=203.0.113.7", CLIENT),
        ('For="203.0.113.7:50123";proto=https;by=10.0.0.1', CLIENT),
        ('proto=http;for="[2001:db8:1:2::9]:443"', "2001:db8:1:2::/64"),
        ("for=1.1.1.1, for=203.0.113.7;proto=https, for=10.0.0.9", CLIENT),
        ('for="1.1.1.1, for=203.0.113.7', CLIENT),
        ("for=unknown", "via 10.0.0.1"),
        ("for=_gazonk", "via 10.0.0.1"),
        ("for=203.0.113.7, proto=https", None),
        ("notfor=203.0.113.7", None),
    ],
)
def test_a_trusted_proxy_may_use_forwarded(value: str, key: str | None) -> None:
    """RFC 7239's header says the same; an element that names no client says nothing."""
    assert found("10.0.0.1", ("Forwarded", value)) == key


def test_lines_of_a_header_are_one_list() -> None:
    """A proxy may add a line of its own instead of adding to the client's."""
    assert found("10.0.0.1", (XFF, "1.1.1.1"), (XFF, f"2.2.2.2, {CLIENT}"), (XFF, "10.0.0.2")) == (
        CLIENT
    )


@pytest.mark.parametrize("value", ["unknown", "203.0.113", "203.0.113.7.", "a" * 5_000, "", ","])
def test_clients_that_a_proxy_does_not_name_are_counted_together(value: str) -> None:
    """A header of a trusted proxy that cannot be read leaves the limit in force."""
    assert found("10.0.0.1", (XFF, value)) == "via 10.0.0.1"


def test_headers_that_disagree_leave_the_limit_in_force() -> None:
    """A proxy writes one of the two headers, and the client can write the other."""
    both = [(XFF, CLIENT), ("Forwarded", "for=198.51.100.1")]

    assert found("10.0.0.1", *both) == "via 10.0.0.1"
    assert found("10.0.0.1", (XFF, CLIENT), ("Forwarded", f"for={CLIENT}")) == CLIENT


def test_only_so_many_proxies_in_a_row_are_read() -> None:
    """A chain of trusted addresses without an end costs little, and is counted together."""
    chain = ", ".join(["10.0.0.2"] * (MAX_HOPS - 1))

    assert found("10.0.0.1", (XFF, f"{CLIENT}, {chain}")) == CLIENT
    assert found("10.0.0.1", (XFF, f"{CLIENT}, 10.0.0.2, {chain}")) == "via 10.0.0.1"
    assert found("10.0.0.1", (XFF, f"{CLIENT}, " + "10.0.0.2, " * 10_000)) == "via 10.0.0.1"


def test_a_proxy_without_a_header_is_not_counted() -> None:
    """It checks whether the server is up."""
    assert found("10.0.0.1") is None


@pytest.mark.parametrize("peer", ["", "/run/client.sock", b"", None])
def test_a_unix_socket_is_trusted_by_its_word(peer: object) -> None:
    """Whoever connects there is on this machine; "unix" makes it the trusted proxy."""
    headers = [(XFF, f"1.1.1.1, {CLIENT}")]

    assert ClientAddresses(PROXIES).of(request(peer, headers)) is None
    assert ClientAddresses(["unix"]).of(request(peer, headers)) == CLIENT
    assert ClientAddresses(["unix"]).of(request(peer, [(XFF, "?")])) == "via unix"


def test_other_processes_of_this_server_are_never_trusted() -> None:
    """They pass on what a client wrote, and the process that it reached has counted it."""
    addresses = ClientAddresses(["unix", "127.0.0.1"], has_peers=True)

    assert addresses.of(request("", [(XFF, CLIENT)])) is None
    assert addresses.of(request(("127.0.0.1", 4000), [(XFF, CLIENT)])) == CLIENT


def test_the_proxies_can_change() -> None:
    """What was found for an address before does not outlast the change."""
    addresses = ClientAddresses([])
    one: Any = request(("10.0.0.1", 4000), [(XFF, CLIENT)])
    before = addresses.of(one)

    addresses.trust(["10.0.0.1"])

    assert (before, addresses.of(one)) == ("10.0.0.1", CLIENT)


def test_a_client_that_is_gone_is_not_counted() -> None:
    """Without a connection there is no peer."""
    gone = make_mocked_request("GET", "/")
    gone._transport_peername = None
    gone.protocol.transport = None

    assert ClientAddresses(PROXIES).of(gone) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from([XFF, "Forwarded"]),
            st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=200)
            | st.text('for=0123456789.:[]";, %', max_size=200),
        ),
        max_size=4,
    )
)
def test_whatever_a_client_writes_the_proxy_adds_the_truth(
    headers: list[tuple[str, str]],
) -> None:
    """The proxy writes X-Forwarded-For: no header of the client's makes it another client."""
    forged = [value for name, value in headers if name == XFF]
    passed_on = [one for one in headers if one[0] != XFF]

    key = found("10.0.0.1", *passed_on, (XFF, ", ".join([*forged, CLIENT])))

    assert key in {CLIENT, "via 10.0.0.1"}
    assert key == CLIENT or passed_on
