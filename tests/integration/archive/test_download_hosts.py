"""Redirects and host names that lead the archive to forbidden addresses."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from phoenix_compat.tasks.archive.errors import FileUnreachableError, HostRefusedError
from tests.integration.archive.archive_harness import PNG, TASK, files_in, host, opened, refusal


class FakeResolver(AbstractResolver):
    """Resolves every name to one address, and records the queried names."""

    def __init__(self, address: str) -> None:
        self.queried: list[tuple[str, int]] = []
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.queried.append((host, port))
        return [
            ResolveResult(
                hostname=host,
                host=self._address,
                port=port,
                family=socket.AF_INET6 if ":" in self._address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        return


async def redirect(request: web.Request) -> web.Response:
    """A picture after as many redirects as the path says; `to` is the target of a redirect."""
    left = int(request.path.strip("/"))
    if left:
        target = request.query.get("to", f"/{left - 1}")
        return web.Response(status=302, headers={"Location": target})
    return web.Response(body=PNG)


async def test_redirects_within_the_list_are_followed(tmp_path: Path) -> None:
    """Three redirects are followed, a fourth one is refused."""
    async with host(redirect) as origin, opened(tmp_path, origin) as archive:
        (stored,) = await archive.keep(TASK, [f"{origin}/3"])
        error = await refusal(archive, f"{origin}/4")

    assert stored.source_url == f"{origin}/3"
    assert isinstance(error, HostRefusedError)


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://localhost:{port}/0",
        "http://127.0.0.1:1/",
        "https://127.0.0.1:{port}/0",
        "https://evil.example/x.png",
        "https://replicate.delivery.evil.example/x.png",
        "//evil.example/x.png",
        "http://user:secret@127.0.0.1:{port}/0",
        "file:///etc/passwd",
        "data:image/png;base64,iVBORw0KGgo=",
        "http://[",
    ],
)
async def test_redirects_out_of_the_list_are_refused(tmp_path: Path, target: str) -> None:
    """The scheme, host, port and user name of a redirect's target are checked."""
    async with host(redirect) as origin, opened(tmp_path, origin) as archive:
        location = target.format(port=URL(origin).port)
        url = URL(f"{origin}/1").with_query(to=location)

        error = await refusal(archive, str(url))

    assert isinstance(error, HostRefusedError)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.8", "169.254.169.254", "::1", "::ffff:192.168.1.1", "64:ff9b::a00:1"],
)
async def test_a_listed_name_at_a_private_address_is_refused(tmp_path: Path, address: str) -> None:
    """A listed name with a private address is refused, without a retry."""
    resolver = FakeResolver(address)
    async with opened(tmp_path, "files.example", resolver=resolver) as archive:
        error = await refusal(archive, "https://files.example/x.png")

    assert isinstance(error, HostRefusedError)
    assert resolver.queried == [("files.example", 443)]


async def test_the_checked_address_is_the_connected_one(tmp_path: Path) -> None:
    """A name is resolved once for each connection, so DNS rebinding has no effect."""
    resolver = FakeResolver("127.0.0.1")
    async with host(redirect) as origin:
        named = f"http://files.example:{URL(origin).port}"
        async with opened(tmp_path, named, resolver=resolver) as archive:
            await archive.keep(TASK, [f"{named}/0"])

    assert resolver.queried == [("files.example", URL(origin).port)]


async def test_a_refused_connection_is_temporary(tmp_path: Path) -> None:
    """After a refused connection the error is temporary."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        origin = f"http://127.0.0.1:{unused.getsockname()[1]}"

        async with opened(tmp_path, origin) as archive:
            error = await refusal(archive, f"{origin}/x.png")

    assert isinstance(error, FileUnreachableError)
    assert (error.reason, error.is_temporary) == ("broken", True)


async def test_a_host_without_tls_is_refused(tmp_path: Path) -> None:
    """An https host that does not speak TLS is refused; there is no fallback to http."""
    async with host(redirect) as origin:
        secure = origin.replace("http://", "https://")
        async with opened(tmp_path, secure) as archive:
            error = await refusal(archive, f"{secure}/0")

    assert isinstance(error, HostRefusedError)
