"""Sockets for a host and a port."""

from __future__ import annotations

import errno
import socket
from contextlib import closing, suppress
from typing import Final

import pytest

from phoenix_compat.accept import bound_tcp_sockets

_TRIES: Final = 5
"""A port is used on the other address, too, now and then: by a client of another test."""


@pytest.fixture
def two_addresses(monkeypatch: pytest.MonkeyPatch) -> str:
    """A name with two addresses of the loopback."""
    own = socket.getaddrinfo

    def resolve(host: str, *args: object, **kwargs: object) -> object:
        if host != "two.example":
            return own(host, *args, **kwargs)  # type: ignore[arg-type] # handed on
        found = [own(one, *args, **kwargs) for one in ("127.0.0.1", "127.0.0.2")]  # type: ignore[arg-type] # handed on
        return [info for infos in found for info in infos]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return "two.example"


async def test_all_addresses_of_a_name_have_one_port(two_addresses: str) -> None:
    """Also when it is a free one that was asked for: the URL is good for each of them."""
    bound = await bound_tcp_sockets(two_addresses, 0)
    names = [one.getsockname() for one in bound]
    for one in bound:
        one.close()

    assert [name[0] for name in names] == ["127.0.0.1", "127.0.0.2"]
    assert len({name[1] for name in names}) == 1


async def test_a_taken_port_is_an_error_and_leaves_nothing_open(two_addresses: str) -> None:
    """Whichever of the addresses it is taken on."""
    free = []
    for _ in range(_TRIES):
        with closing(socket.create_server(("127.0.0.2", 0))) as other:
            port = other.getsockname()[1]
            with pytest.raises(OSError, match="in use") as refused:
                await bound_tcp_sockets(two_addresses, port)
            assert refused.value.errno == errno.EADDRINUSE
            free.append(_is_free("127.0.0.1", port))

    assert any(free)  # the first of the two was let go


def _is_free(host: str, port: int) -> bool:
    with closing(socket.socket()) as again, suppress(OSError):
        again.bind((host, port))
        return True
    return False


async def test_processes_share_a_port() -> None:
    """With `reuse_port` two sockets have the same one."""
    (first,) = await bound_tcp_sockets("127.0.0.1", 0, reuse_port=True)
    with closing(first):
        port = first.getsockname()[1]
        (second,) = await bound_tcp_sockets("127.0.0.1", port, reuse_port=True)
        with closing(second):
            assert second.getsockname() == first.getsockname()


async def test_an_address_that_is_not_here_is_an_error() -> None:
    """One of a documentation network."""
    with pytest.raises(OSError, match="Cannot assign"):
        await bound_tcp_sockets("192.0.2.1", 0)
