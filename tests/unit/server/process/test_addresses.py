"""The address by which others reach this machine."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.server.process import addresses
from phoenix_compat.server.process.addresses import reachable_host, reachable_url

ANY = "0.0.0.0"  # noqa: S104 - not listened on


class Routed(socket.socket):
    """A socket of a machine in a network."""

    def connect(self, _address: Any) -> None:
        """Choose the route."""

    def getsockname(self) -> Any:
        """The address that was chosen."""
        return ("192.168.1.20", 50_000)


class Unrouted(socket.socket):
    """A socket of a machine without a network."""

    def connect(self, _address: Any) -> None:
        """Find no route."""
        raise OSError(101, "Network is unreachable")


@pytest.fixture
def no_container(monkeypatch: pytest.MonkeyPatch) -> None:
    """As outside of containers."""
    monkeypatch.setattr(addresses, "_CONTAINER_MARKS", ())


@pytest.mark.usefixtures("no_container")
def test_the_address_of_the_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands for all addresses; other hosts stay as they are."""
    monkeypatch.setattr("socket.socket", Routed)

    assert reachable_host(ANY) == "192.168.1.20"
    assert reachable_host("10.0.0.5") == "10.0.0.5"
    assert reachable_url(f"http://{ANY}:4000") == "http://192.168.1.20:4000"
    assert reachable_url("http://127.0.0.1:4000") == "http://127.0.0.1:4000"
    assert reachable_url("unix:/run/a.sock") == "unix:/run/a.sock"


@pytest.mark.usefixtures("no_container")
@pytest.mark.parametrize(("host", "loopback"), [(ANY, "127.0.0.1"), ("::", "::1")])
def test_without_a_network(monkeypatch: pytest.MonkeyPatch, host: str, loopback: str) -> None:
    """The loopback is all that there is."""
    monkeypatch.setattr("socket.socket", Unrouted)

    assert reachable_host(host) == loopback


def test_in_a_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its own address means nothing outside."""
    monkeypatch.setattr(addresses, "_CONTAINER_MARKS", (tmp_path,))

    assert reachable_host(ANY) == "127.0.0.1"


@pytest.mark.usefixtures("no_container")
def test_on_this_machine() -> None:
    """Whatever network there is, the answer is an address that can be used."""
    assert not ipaddress.ip_address(reachable_host(ANY)).is_unspecified
