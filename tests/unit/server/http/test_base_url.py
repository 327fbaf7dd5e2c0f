"""The address by which a client reaches the server: of the setting, the proxy, or the request."""

from __future__ import annotations

import socket
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from phoenix_compat.server.http.base_url import PEER_HEADER, BaseUrls
from phoenix_compat.server.process import addresses
from phoenix_compat.server.rates.client_address import ClientAddresses

CLIENT = ("203.0.113.7", 50_000)
PROXY = ("10.0.0.2", 50_000)
UNIX = ""
PROTO = ("X-Forwarded-Proto", "https")
FORWARDED_HOST = ("X-Forwarded-Host", "tasks.example")


def request(peer: object, *headers: tuple[str, str], sockname: object = None) -> web.Request:
    """A request over a connection with this peer: an address, or "" for a Unix socket."""
    transport = Mock()
    family = socket.AF_UNIX if peer == UNIX else socket.AF_INET
    known: dict[str, Any] = {
        "peername": peer,
        "sockname": sockname,
        "socket": Mock(family=family),
    }
    transport.get_extra_info = known.get
    return make_mocked_request("GET", "/", CIMultiDict(headers), transport=transport)


def found(
    peer: object, *headers: tuple[str, str], public_url: str | None = None, **arguments: Any
) -> str:
    addresses = ClientAddresses(["10.0.0.0/8", "unix"])
    return BaseUrls(public_url, addresses).of(request(peer, *headers, **arguments))


def test_public_url_is_for_everyone() -> None:
    """A5: the operator has said how clients reach the server."""
    given = found(PROXY, ("Host", "a.example"), PROTO, public_url="https://tasks.example/")

    assert given == "https://tasks.example"


@pytest.mark.parametrize(
    ("host", "base_url"),
    [
        ("192.168.1.20:4000", "http://192.168.1.20:4000"),
        ("Mac.local:4000", "http://mac.local:4000"),
        ("mac.local", "http://mac.local"),
        ("mac.local:80", "http://mac.local"),
        ("mac.local:", "http://mac.local"),
        ("[2001:db8::1]:4000", "http://[2001:db8::1]:4000"),
    ],
)
def test_the_host_of_the_request_is_used(host: str, base_url: str) -> None:
    """A5: the address that the client used, in one form, so that it is encoded once."""
    assert found(CLIENT, ("Host", host)) == base_url


@pytest.mark.parametrize("host", ["0.0.0.0:4000", "[::]:4000"])
def test_all_addresses_are_no_address(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Who copied what the server listens on gets links that others can open too."""
    found_hosts = {"0.0.0.0": "192.168.1.20", "::": "2001:db8::20"}  # noqa: S104 - not listened on
    monkeypatch.setattr(addresses, "reachable_host", found_hosts.__getitem__)

    given = found(CLIENT, ("Host", host))

    assert given in {"http://192.168.1.20:4000", "http://[2001:db8::20]:4000"}


@pytest.mark.parametrize(
    "host", ["a b", "a/b", "a@b", "a:b", "a:123456", '"', "a.example, b", "é", "a" * 400, "[::1"]
)
def test_a_host_that_is_none_is_not_repeated(host: str) -> None:
    """A5: with `allowed_hosts = ["*"]` every text gets here; the connection's address is used."""
    assert found(CLIENT, ("Host", host), sockname=("192.0.2.1", 4000)) == "http://192.0.2.1:4000"


@pytest.mark.parametrize(
    ("sockname", "base_url"),
    [(("192.0.2.1", 4000), "http://192.0.2.1:4000"), (("::1", 80, 0, 0), "http://[::1]"), ("", "")],
)
def test_without_host_the_connection_tells(sockname: object, base_url: str) -> None:
    """A5: HTTP/1.0 over TCP; over a Unix socket links are paths."""
    assert found(UNIX if sockname == "" else CLIENT, sockname=sockname) == base_url


@pytest.mark.parametrize("peer", [PROXY, UNIX])
@pytest.mark.parametrize(
    ("headers", "base_url"),
    [
        ([PROTO], "https://backend:4000"),
        ([PROTO, FORWARDED_HOST], "https://tasks.example"),
        ([("X-Forwarded-Proto", "wss")], "https://backend:4000"),
        ([("X-Forwarded-Proto", "gopher")], "http://backend:4000"),
        ([("X-Forwarded-Host", "forged.example, tasks.example")], "http://tasks.example"),
        (
            [("X-Forwarded-Host", "forged.example"), ("X-Forwarded-Host", "tasks.example:8443")],
            "http://tasks.example:8443",
        ),
        ([("X-Forwarded-Host", ""), ("X-Forwarded-Proto", "")], "http://backend:4000"),
    ],
)
def test_a_trusted_proxy_is_believed(
    peer: object, headers: list[tuple[str, str]], base_url: str
) -> None:
    """A5: what the proxy itself has added, at the end; the rest may be the client's."""
    assert found(peer, ("Host", "backend:4000"), *headers) == base_url


def test_nobody_else_is_believed() -> None:
    """A5: a client that names another address gets links to the one that it used."""
    given = found(CLIENT, ("Host", "a.example"), PROTO, FORWARDED_HOST, (PEER_HEADER, "http://b"))

    assert given == "http://a.example"


@pytest.mark.parametrize(
    "named", ["https://tasks.example:8443", "", "javascript://x", "http://a b"]
)
def test_another_process_of_this_server_has_found_it(named: str) -> None:
    """A5: with --workers; what does not look like an address is not repeated."""
    base_urls = BaseUrls(None, ClientAddresses([]), has_peers=True)

    given = base_urls.of(request(UNIX, ("Host", "a.example"), (PEER_HEADER, named)))

    assert given == (named if named.startswith("https") else "")
