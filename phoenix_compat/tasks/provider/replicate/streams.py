"""Connects to the streams of Replicate's predictions: server-sent events over HTTP.

Source: replicate-python 1.0.7, replicate/stream.py;
replicate.com/docs/topics/predictions/streaming.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

import aiohttp
from aiohttp import hdrs
from yarl import URL

from phoenix_compat.tasks.model.errors import StreamBrokenError, StreamRefusedError
from phoenix_compat.tasks.model.prediction import PredictionRef
from phoenix_compat.tasks.streams.server_sent_events import (
    EventParser,
    InvalidEventError,
    ServerSentEvent,
)

SILENCE_S: Final = 45.0
"""Replicate closes a silent stream after 30 s."""

_STREAM_HOSTS: Final = (".replicate.com", ".replicate.net")
_TYPE: Final = "text/event-stream"
_TEMPORARY_STATUSES: Final = frozenset({408, 425, 429})
_SERVER_ERROR: Final = 500
_OK: Final = 200
_BLOCK_BYTES: Final = 64 * 1024


class ReplicateStreams:
    """The connections to streams. They are made when they are needed, and closed with `close`."""

    def __init__(
        self, *, token: str, base_url: str, connect_timeout_s: float, silence_s: float = SILENCE_S
    ) -> None:
        """Prepare; nothing is connected.

        Args:
            token: sent to the host of `base_url` and to Replicate's own hosts, and to no others.
            silence_s: how long a stream may be silent.
        """
        self._token = token
        self._origin = URL(base_url).origin()
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=connect_timeout_s, sock_read=silence_s
        )
        self._session: aiohttp.ClientSession | None = None

    async def events(
        self, ref: PredictionRef, after: str | None
    ) -> AsyncGenerator[ServerSentEvent]:
        """The events of one connection. See `Provider.stream`."""
        url = self._checked(ref.stream_url)
        headers: dict[str, str] = {
            hdrs.AUTHORIZATION: f"Bearer {self._token}",
            hdrs.ACCEPT: _TYPE,
            hdrs.CACHE_CONTROL: "no-store",
        }
        if after is not None:
            headers["Last-Event-ID"] = after
        parser = EventParser()
        try:
            # A redirect would send the token to another address.
            async with self._opened().get(
                url, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as response:
                _check(response)
                async for data in response.content.iter_any():
                    for start in range(0, len(data), _BLOCK_BYTES):
                        for event in parser.feed(data[start : start + _BLOCK_BYTES]):
                            yield event
        except InvalidEventError as error:
            raise StreamRefusedError(str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            # OSError covers TimeoutError.
            raise StreamBrokenError(f"the stream broke off: {type(error).__name__}") from error
        raise StreamBrokenError("the stream ended")

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # The worker limits how many streams are open.
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                # A compressed stream would come in larger pieces.
                headers={hdrs.ACCEPT_ENCODING: "identity", hdrs.USER_AGENT: "phoenix_compat"},
            )
        return self._session

    def _checked(self, text: str | None) -> URL:
        """The address of a stream, if the token may be sent there."""
        if text is None:
            raise StreamRefusedError("the prediction has no stream")
        try:
            url = URL(text)
            origin = url.origin()
        except ValueError as error:
            raise StreamRefusedError("the address of the stream is not a URL") from error
        host = f".{url.host or ''}"
        is_replicate = url.scheme == "https" and host.endswith(_STREAM_HOSTS)
        if origin != self._origin and not is_replicate:
            raise StreamRefusedError(
                f"the stream is at {origin}, which is neither the API's host nor Replicate's"
            )
        return url


def _check(response: aiohttp.ClientResponse) -> None:
    status = response.status
    if status in _TEMPORARY_STATUSES or status >= _SERVER_ERROR:
        raise StreamBrokenError(f"the stream answered {status}")
    if status != _OK or response.content_type != _TYPE:
        raise StreamRefusedError(f"the stream answered {status} with {response.content_type}")
