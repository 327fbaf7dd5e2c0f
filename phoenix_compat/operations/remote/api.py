"""Sends requests to the HTTP API of a running server, and turns its refusals into errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp

from phoenix_compat.bounded import plain
from phoenix_compat.operations.reason import reason_of
from phoenix_compat.operations.remote.access import Remote, RemoteError

MAX_ANSWER_BYTES: Final = 16 * 2**20
REQUEST_TIMEOUT_S: Final = 60.0
_MAX_DETAIL_CHARS: Final = 1_000


class RemoteApi:
    """The HTTP API of one server.

    Args:
        headers: are added to each request.
    """

    def __init__(
        self, remote: Remote, session: aiohttp.ClientSession, headers: Mapping[str, str]
    ) -> None:
        self.remote = remote
        self._session = session
        self._headers = headers

    async def get(self, path: str, **query: str) -> Any:
        """The JSON document at a path; see `send`."""
        return await self.send("GET", path, params=query)

    async def post(self, path: str, body: object = None, **headers: str) -> Any:
        """The answer to a POST; see `send`."""
        if body is None:
            return await self.send("POST", path, headers=headers)
        return await self.send("POST", path, json=body, headers=headers)

    async def send(
        self, method: str, path: str, *, accepted: Collection[int] = (), **options: Any
    ) -> Any:
        """The JSON document that answers a request; None if the answer is empty.

        Args:
            accepted: statuses that are not errors here.
            options: those of `aiohttp.ClientSession.request`.

        Raises:
            RemoteError: there is no answer, or it is an error.
        """
        options["headers"] = {**self._headers, **options.get("headers", {})}
        try:
            async with self._session.request(
                method, self.remote.url + path, allow_redirects=False, **options
            ) as response:
                text = await _text(response)
        except (OSError, UnicodeError, aiohttp.ClientError) as error:
            raise _unreachable(self.remote, error) from error
        document = _parsed(text)
        is_good = response.ok or response.status in accepted
        if is_good and (document is not None or not text):
            return document
        raise RemoteError(self._refusal(response.status, document))

    async def bytes_of(self, url: str, max_bytes: int) -> bytes | None:
        """A file, such as a picture; None if it cannot be had, or is larger than `max_bytes`.

        Only this server gets the credential, and it needs none for its files.
        """
        address = self.remote.url + url if url.startswith("/") else url
        is_own = address.startswith(f"{self.remote.url}/")
        session = self._session if is_own else aiohttp.ClientSession()
        try:
            async with session.get(address) as response:
                data = bytearray()
                async for chunk in response.content.iter_any():
                    data += chunk
                    if len(data) > max_bytes:
                        return None
                return bytes(data) if response.ok else None
        except (OSError, ValueError, aiohttp.ClientError):
            return None
        finally:
            if not is_own:
                await session.close()

    def _refusal(self, status: int, document: object) -> str:
        name = self.remote.name
        detail = document.get("detail") if isinstance(document, Mapping) else None
        if status == 401:
            asks = "refuses this credential" if self._headers else "asks for a credential"
            return f"{name} {asks}; {self.remote.remedy}"
        if not isinstance(detail, str):
            return f"{name} answers with status {status}; check the URL"
        return plain(detail, _MAX_DETAIL_CHARS)


@asynccontextmanager
async def open_api(remote: Remote, *, owner: str | None = None) -> AsyncIterator[RemoteApi]:
    """The API of a server, with one credential for all requests.

    Args:
        owner: for whom to act; the credential needs the scope `impersonate`.
    """
    credential = await remote.credential()
    headers = {} if credential is None else {"Authorization": f"Bearer {credential}"}
    if owner is not None:
        headers["X-Owner"] = owner
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
    async with remote.session(timeout=timeout) as session:
        yield RemoteApi(remote, session, headers)


async def _text(response: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_any():
        data += chunk
        if len(data) > MAX_ANSWER_BYTES:
            raise RemoteError(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
    return bytes(data)


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _unreachable(remote: Remote, error: BaseException) -> RemoteError:
    if isinstance(error, asyncio.TimeoutError):
        return RemoteError(f"{remote.name} does not answer in time; try again")
    return RemoteError(
        f"cannot connect to {remote.name}: {reason_of(error)}; check the URL, and whether the "
        "server runs"
    )
