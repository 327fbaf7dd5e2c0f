"""Downloads files from untrusted hosts, with limits on size, time, redirects and retries.

Its HTTP session has no token, keeps no cookies, and ignores proxy settings of the environment. Only
failures that may be temporary are retried.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver
from yarl import URL

from phoenix_compat.tasks.archive.download_hosts import DownloadHosts, GuardedResolver
from phoenix_compat.tasks.archive.errors import (
    FileGoneError,
    FileTooLargeError,
    FileUnreachableError,
    HostRefusedError,
)
from phoenix_compat.tasks.archive.incoming_file import IncomingFile

BLOCK_BYTES = 256 * 1024
"""This much is collected before it is written in a thread."""

_REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
_RETRIED_REASONS = frozenset({"server_error", "broken"})
_TEMPORARY_STATUSES = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadLimits:
    """Limits of a download.

    Attributes:
        total_timeout_s: for one file, including retries and waits.
        read_timeout_s: between two reads.
        max_tries: requests for one file, not counting redirects.
        retry_first_s: the wait before the second try; it doubles with each try.
        connections: downloads at the same time.
    """

    max_file_bytes: int
    total_timeout_s: float
    read_timeout_s: float
    retry_first_s: float = 0.5
    connect_timeout_s: float = 10.0
    max_tries: int = 3
    max_redirects: int = 3
    connections: int = 4


class Downloader:
    """Downloads files into `IncomingFile`s."""

    def __init__(
        self, hosts: DownloadHosts, limits: DownloadLimits, resolver: AbstractResolver | None = None
    ) -> None:
        self._hosts = hosts
        self._limits = limits
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """Create the HTTP session; nothing is connected yet."""
        resolver = self._resolver or aiohttp.ThreadedResolver()
        connector = aiohttp.TCPConnector(
            limit=self._limits.connections,
            # Without a cache each connection resolves its host through the guard.
            resolver=GuardedResolver(self._hosts, resolver),
            use_dns_cache=False,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            # A small compressed answer must not become a huge file.
            auto_decompress=False,
            headers={hdrs.ACCEPT_ENCODING: "identity", hdrs.USER_AGENT: "phoenix_compat"},
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=self._limits.connect_timeout_s,
                sock_read=self._limits.read_timeout_s,
            ),
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def fetch(self, url: str, incoming: IncomingFile) -> None:
        """Download a file.

        Raises:
            ArchiveError: any of its subclasses except WrongFileError.
        """
        validated = self._hosts.validate(url)
        try:
            async with asyncio.timeout(self._limits.total_timeout_s):
                await self._fetch_with_retries(validated, incoming)
        except TimeoutError as error:
            raise FileUnreachableError(
                "timed_out", f"the download took longer than {self._limits.total_timeout_s:g} s"
            ) from error

    async def _fetch_with_retries(self, url: URL, incoming: IncomingFile) -> None:
        wait_s = self._limits.retry_first_s
        for tries_left in reversed(range(self._limits.max_tries)):
            try:
                await self._fetch_once(url, incoming)
                break
            except FileUnreachableError as error:
                if error.reason not in _RETRIED_REASONS or not tries_left:
                    raise
            await asyncio.to_thread(incoming.rewind)
            await asyncio.sleep(wait_s)
            wait_s *= 2

    async def _fetch_once(self, url: URL, incoming: IncomingFile) -> None:
        try:
            async with self._open_response(url) as response:
                await self._read(response, incoming)
        except TimeoutError as error:
            raise FileUnreachableError("stalled", f"{url.host} did not respond in time") from error
        except aiohttp.ClientSSLError as error:
            raise HostRefusedError(f"the TLS connection to {url.host} failed") from error
        except (aiohttp.ClientError, OSError) as error:
            name = type(error).__name__
            raise FileUnreachableError("broken", f"the connection failed: {name}") from error

    @asynccontextmanager
    async def _open_response(self, url: URL) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("call Archive.open() first")
        for _ in range(1 + self._limits.max_redirects):
            async with self._session.get(url, allow_redirects=False) as response:
                if response.status not in _REDIRECT_STATUSES:
                    yield response
                    return
                # A redirect's target is checked like the first URL.
                url = self._hosts.validate(_redirect_target(response))
        raise HostRefusedError(f"more than {self._limits.max_redirects} redirects")

    async def _read(self, response: aiohttp.ClientResponse, incoming: IncomingFile) -> None:
        _check_status(response)
        limit = self._limits.max_file_bytes
        if (response.content_length or 0) > limit:
            raise FileTooLargeError(limit)
        await asyncio.to_thread(incoming.check_free_space, response.content_length or 0)
        block = bytearray()
        async for chunk in response.content.iter_any():
            block += chunk
            if incoming.size_bytes + len(block) > limit:
                raise FileTooLargeError(limit)
            if len(block) >= BLOCK_BYTES:
                await asyncio.to_thread(incoming.write, bytes(block))
                block.clear()
        if block:
            await asyncio.to_thread(incoming.write, bytes(block))


def _check_status(response: aiohttp.ClientResponse) -> None:
    status, host = response.status, response.url.host or ""
    if status == 200:
        return
    if status >= 500 or status in _TEMPORARY_STATUSES:
        raise FileUnreachableError("server_error", f"{host} answered {status}")
    raise FileGoneError(host, status)


def _redirect_target(response: aiohttp.ClientResponse) -> URL:
    location = response.headers.get(hdrs.LOCATION, "")
    try:
        return response.url.join(URL(location))
    except ValueError as error:
        raise HostRefusedError("a redirect has an invalid Location") from error
