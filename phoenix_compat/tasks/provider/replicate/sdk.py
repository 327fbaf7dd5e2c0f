"""Replicate's SDK as an authenticated HTTP client. Its retries, polling and models are not used.

Importing the SDK takes a third of a server's start, so `client` imports this module with
the first request.

The SDK's aiohttp transport raises the same class for all connection errors, so the chain of causes
of an exception has to be examined: was the request sent, and may it have taken effect?
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from typing import Any

import aiohttp
import httpx
import httpx_aiohttp
import replicate

from phoenix_compat.tasks.model.errors import (
    CreateHeldBackError,
    ProviderError,
    ProviderUncertainError,
    ProviderUnreachableError,
)
from phoenix_compat.tasks.provider.create_permit import check_permit
from phoenix_compat.tasks.provider.replicate.client import Answer, ClientOptions
from phoenix_compat.tasks.provider.replicate.errors import answer_error

MAX_ANSWER_BYTES = 10 * 1024 * 1024

# Raised while the connection is being made, before anything of the request is written.
_BEFORE_SENDING = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
)


class ReplicateSDK:
    """The client of the SDK; see `ReplicateClient`, which makes it."""

    def __init__(self, options: ClientOptions) -> None:
        self._total_timeout_s = options.total_timeout_s
        connect_s = options.connect_timeout_s
        timeout = httpx.Timeout(options.read_timeout_s, connect=connect_s, pool=connect_s)
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=20)
        self._client = replicate.AsyncReplicate(
            bearer_token=options.token,
            base_url=options.base_url.rstrip("/"),
            max_retries=0,
            timeout=timeout,
            http_client=replicate.DefaultAioHttpClient(
                transport=_BoundedTransport(limits=limits),
                timeout=timeout,
                # A redirect would send the token to another address, and might repeat a create.
                follow_redirects=False,
            ),
        )

    async def get(self, path: str, params: Mapping[str, object]) -> object:
        """See ReplicateClient."""
        return await self._exchange(
            self._client.get(path, cast_to=object, options={"params": params})
        )

    async def get_answer(self, path: str) -> Answer:
        """See ReplicateClient."""
        answer = await self._exchange(self._client.get(path, cast_to=httpx.Response))
        assert isinstance(answer, httpx.Response)  # noqa: S101 - because of cast_to
        try:
            return Answer(answer.json(), answer.headers)
        except json.JSONDecodeError as error:
            raise ProviderUncertainError("answered with invalid JSON") from error

    async def post(
        self,
        path: str,
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str],
        words: frozenset[str],
    ) -> object:
        """See ReplicateClient."""
        options: Any = {"headers": headers}
        request = self._client.post(path, cast_to=object, body=body, options=options)
        return await self._exchange(request, words)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _exchange(
        self, answer: Awaitable[object], words: frozenset[str] = frozenset()
    ) -> object:
        try:
            async with asyncio.timeout(self._total_timeout_s):
                return await answer
        except (replicate.APIError, httpx.HTTPError, json.JSONDecodeError, OSError) as error:
            # OSError covers TimeoutError. The SDK does not wrap a JSONDecodeError.
            raise provider_error(error, words) from error


def never_sent(error: BaseException) -> bool:
    """Whether a request failed before any of it was written, so that it is safe to repeat."""
    causes = list(_causes(error))
    if any(isinstance(cause, _BEFORE_SENDING) for cause in causes):
        return True
    # httpx's own transport raises these only before sending; the aiohttp transport also later.
    is_aiohttp = any(isinstance(cause, aiohttp.ClientError) for cause in causes)
    return not is_aiohttp and any(
        isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        for cause in causes
    )


def provider_error(error: Exception, words: frozenset[str] = frozenset()) -> ProviderError:
    """The `ProviderError` for an exception of the SDK.

    Args:
        words: the user's texts in the request; see `provider_texts.users_words`.
    """
    if isinstance(error, replicate.APIStatusError):
        return answer_error(error.status_code, error.body, error.response.headers, words)
    name = type(error).__name__
    if any(isinstance(cause, CreateHeldBackError) for cause in _causes(error)):
        raise CreateHeldBackError from error
    if never_sent(error):
        return ProviderUnreachableError(f"no connection was made: {name}")
    return ProviderUncertainError(f"the answer was lost: {name}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__


class _BoundedTransport(httpx_aiohttp.AiohttpTransport):
    """The SDK's aiohttp transport, with a limit on the size of an answer, and `check_permit`."""

    def get_client(self) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        # aiohttp keeps the headers back and writes them with the body, in a task of its own: that
        # is at least one round of the event loop later, and the signal comes right before it.
        trace.on_request_headers_sent.append(_before_writing)
        trace.on_request_chunk_sent.append(_before_writing)
        connector = aiohttp.TCPConnector(
            limit=self.limits.max_connections or 0,
            keepalive_timeout=self.limits.keepalive_expiry,
            ssl=self.ssl_context,
        )
        return aiohttp.ClientSession(connector=connector, trace_configs=[trace])

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = _BoundedStream(response.stream)
        return response


async def _before_writing(*_: object) -> None:
    """The connection is there, and nothing of the request is written yet: its body is one chunk."""
    check_permit()


class _BoundedStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size_bytes = 0
        async for chunk in self._stream:
            size_bytes += len(chunk)
            if size_bytes > MAX_ANSWER_BYTES:
                raise httpx.ReadError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
