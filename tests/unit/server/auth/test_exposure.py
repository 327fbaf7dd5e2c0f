"""Where a server without authentication may listen."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import Any

import pytest

from phoenix_compat.errors import ConfigError
from phoenix_compat.server.auth.exposure import check_exposure, refused_clients
from phoenix_compat.server.process.settings import Settings

ANY = "0.0.0.0"  # noqa: S104 - an address to refuse


@pytest.mark.parametrize(
    "fields",
    [
        {},
        *({"host": host} for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost", "a..b")),
        {"unix_socket": "/run/s", "host": ANY},
        *(
            {"public_url": url}
            for url in ("http://localhost:4000", "https://127.0.0.1", "http://[::1]:1")
        ),
        {"host": ANY, "public_url": "https://a.example", "auth": ("keys",)},
        {"host": ANY, "public_url": "https://a.example", "insecure_no_auth": True},
    ],
    ids=str,
)
def test_it_may_start(fields: dict[str, Any]) -> None:
    """On this machine alone; with authentication or the operator's consent, anywhere."""
    check_exposure(Settings(**fields))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        *(({"host": host}, f"host is {host}") for host in (ANY, "::", "192.168.1.20", "10.0.0.1")),
        ({"public_url": "https://a.example"}, "public_url is https://a.example"),
        ({"public_url": "http://192.168.1.20:4000"}, "public_url is"),
        ({"public_url": "https://localhost.example"}, "public_url is"),
        ({"unix_socket": "/run/s", "public_url": "https://a.example"}, "public_url is"),
        ({"host": ANY, "public_url": "https://a.example"}, f"host is {ANY} and public_url is"),
    ],
)
def test_it_must_not_start(fields: dict[str, Any], reason: str) -> None:
    """The text names the reason and both ways out."""
    with pytest.raises(ConfigError, match=reason) as refused:
        check_exposure(Settings(**fields))

    assert 'auth = ["keys"]' in str(refused.value)
    assert "phoenix-compat keys create" in str(refused.value)
    assert "--insecure-no-auth" in str(refused.value)


def test_sockets_from_systemd_count_by_their_addresses() -> None:
    """Whatever host says."""
    with (
        closing(socket.socket(socket.AF_UNIX)) as unix,
        closing(socket.socket()) as loopback,
        closing(socket.socket()) as everywhere,
    ):
        loopback.bind(("127.0.0.1", 0))
        everywhere.bind((ANY, 0))
        check_exposure(Settings(host=ANY), (unix, loopback))
        with pytest.raises(ConfigError, match=f"a socket that it was given listens on {ANY}"):
            check_exposure(Settings(), (loopback, everywhere))
        with pytest.raises(ConfigError, match="public_url"):
            check_exposure(Settings(public_url="https://a.example"), (unix,))


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"allowed_hosts": ("nas.lan",)}, "allowed_hosts are set"),
        ({"trusted_proxies": ("127.0.0.1",)}, "trusted_proxies are set"),
        (
            {"allowed_hosts": ("nas.lan",), "trusted_proxies": ("127.0.0.1",)},
            "allowed_hosts and trusted_proxies are set",
        ),
    ],
    ids=str,
)
def test_settings_for_clients_that_are_refused(fields: dict[str, Any], names: str) -> None:
    """Without authentication nobody comes through a proxy or under another name. With it, or with
    the operator's consent, they are of use."""
    refused = refused_clients(Settings(**fields))

    assert refused is not None
    assert refused.startswith(names)
    assert refused_clients(Settings(**fields, auth=("keys",))) is None
    assert refused_clients(Settings(**fields, insecure_no_auth=True)) is None
    assert refused_clients(Settings()) is None
