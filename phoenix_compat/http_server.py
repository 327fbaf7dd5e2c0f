"""aiohttp's HTTP server, adapted for untrusted clients.

Unreadable requests and clients that disconnect are normal. Each costs one debug line and a short
response that does not name the server's software; aiohttp itself logs a traceback for each.
Bodies are passed on as received: nothing is decompressed. Heads, bodies and the taking of answers
have deadlines; see `accept.request_deadlines`.

Differs from Phoenix: aiohttp answers 400 to bytes in a request line that are not ASCII; Bandit
passes them on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, Final

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import _ErrInfo

from phoenix_compat.accept.request_deadlines import (
    BoundCounters,
    HttpBounds,
    RequestDeadlines,
    Watch,
)
from phoenix_compat.bounded import plain

log = logging.getLogger(__name__)

SERVER_NAME: Final = "phoenix_compat"
SAFE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""For every response that is not a page: a browser must not show it as one, nor in one."""
_MAX_REASON_CHARS: Final = 120
_UNENCODED: Final = frozenset({"", "identity"})
_HEAD_END: Final = b"\r\n\r\n"
_OWN_STATUSES: Final = frozenset({408, 431})


class BodyTooSlowError(web.RequestPayloadError):
    """The body of a request was not complete in time."""

    def __init__(self) -> None:
        super().__init__("the body did not arrive in time")


class AppRunner(web.AppRunner):
    """Like aiohttp's AppRunner, but serves each connection with a `ClientHandler`.

    Args:
        bounds: what clients may take their time for.
        counters: counts how often they took too long.
    """

    def __init__(
        self,
        app: web.Application,
        *,
        bounds: HttpBounds | None = None,
        counters: BoundCounters | None = None,
        **options: Any,
    ) -> None:
        self._bounds = bounds or HttpBounds()
        self.counters = counters or BoundCounters()
        defaults = {
            "access_log": None,
            "auto_decompress": False,
            "keepalive_timeout": self._bounds.idle_s,
        }
        super().__init__(app, **{**defaults, **options})

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return _Server(
            Watch(self._bounds, self.counters),
            server.request_handler,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            loop=server._loop,  # noqa: SLF001 - aiohttp has no public way to set the handler class
            **server._kwargs,  # noqa: SLF001 - the same
        )


class _Server(web.Server):
    def __init__(self, watch: Watch, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.watch = watch

    def __call__(self) -> web.RequestHandler:
        return ClientHandler(self, loop=self._loop, **self._kwargs)


class ClientHandler(web.RequestHandler):
    """The protocol of one HTTP connection.

    Much of what it needs to know of the requests has no public name in aiohttp.
    """

    __slots__ = ("_deadlines", "_gone", "_is_refused", "_watch")

    def __init__(self, manager: _Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._watch = manager.watch
        self._deadlines: RequestDeadlines | None = None
        self._is_refused = False
        self._gone: asyncio.Future[None] | None = None

    @property
    def gone(self) -> asyncio.Future[None]:
        """Is done once the client has disconnected."""
        if self._gone is None:
            self._gone = self._loop.create_future()
            if self.transport is None:
                self._gone.set_result(None)
        return self._gone

    # Deadlines.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._deadlines = RequestDeadlines(self._watch, self, transport, self._loop.time)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the deadlines; a websocket has its own."""
        if self._deadlines is not None:
            self._deadlines.lost()
            self._deadlines = None
        super().connection_lost(exc)
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Notice where heads and bodies begin and end."""
        deadlines = self._deadlines
        if self._is_refused or deadlines is None:
            return
        count = self._request_count
        was_in_body = deadlines.is_in_body()
        super().data_received(data)
        if self._request_count != count:
            self._requests_came(deadlines, self._request_count - count, data)
        elif (
            data
            and not (was_in_body or self._is_holding_back)
            and deadlines.head_goes_on(len(data))
        ):
            self._refuse(_TOO_LARGE)

    def _requests_came(self, deadlines: RequestDeadlines, count: int, data: bytes) -> None:
        if deadlines.may_be_large(len(data)):
            self._check_sizes(count)
        deadlines.head_complete()
        body = self._messages[-1][1]
        if not body.is_eof():
            deadlines.body_begins(body)
        elif (
            data
            and body is EMPTY_PAYLOAD
            and not self._is_holding_back
            and not data.endswith(_HEAD_END)
        ):
            deadlines.head_goes_on(0)  # a part of the next request has come with this one

    @property
    def _is_holding_back(self) -> bool:
        """Whether what comes is not parsed now: too many requests wait, or none is expected."""
        return self._buffer_paused or self._upgraded or self._force_close or self._close

    def _check_sizes(self, count: int) -> None:
        """Put a refusal in the place of each new request whose head is too long."""
        for place in range(max(-count, -len(self._messages)), 0):
            message, _ = self._messages[place]
            if isinstance(message, _ErrInfo):
                continue
            size = sum(len(name) + len(value) for name, value in message.raw_headers)
            if size + len(message.path) > self._watch.bounds.max_head_bytes:
                self._watch.counters.large_heads += 1
                self._messages[place] = (_error_info(_TOO_LARGE), EMPTY_PAYLOAD)

    def _refuse(self, error: HttpProcessingError) -> None:
        """Answer an unfinished head, after the requests before it, and read nothing more."""
        self._is_refused = True
        self._request_count += 1
        self._messages.append((_error_info(error), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _handle_request(
        self, *args: Any, **kwargs: Any
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        if self._messages:
            return self._handle_after_a_turn(*args, **kwargs)
        return super()._handle_request(*args, **kwargs)

    async def _handle_after_a_turn(
        self, *args: Any, **kwargs: Any
    ) -> tuple[web.StreamResponse, bool]:
        """Let other connections have their turn between the requests that are pipelined on one.

        Since Python 3.12 a request may be answered without a turn of the event loop.
        """
        await asyncio.sleep(0)
        return await super()._handle_request(*args, **kwargs)

    def pause_writing(self) -> None:
        """See whether the client takes what it is sent."""
        super().pause_writing()
        if self._deadlines is not None:
            self._deadlines.writing_paused()

    def _process_keepalive(self) -> None:
        was_closed = self._force_close
        super()._process_keepalive()
        if self._force_close and not was_closed:
            self._watch.counters.idle_closed += 1

    @property
    def is_reading_paused(self) -> bool:
        """See request_deadlines.HttpConnection."""
        return self._reading_paused or self._buffer_paused

    def head_is_late(self, *, has_begun: bool) -> None:
        """See request_deadlines.HttpConnection."""
        if has_begun:
            self._refuse(_TOO_LATE)
        else:
            self.force_close()

    def body_is_late(self, body: StreamReader) -> None:
        """See request_deadlines.HttpConnection."""
        body.set_exception(BodyTooSlowError())

    # Errors.

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Respond to a failed request: 400 if the client caused it, 500 if the server did."""
        if exc is not None and is_client_error(request, exc):
            _log_refused(request, exc)
            if request._payload_writer.output_size:  # noqa: SLF001 - aiohttp checks this too
                raise ConnectionError("the response was already started")
            return _bad_request(exc)
        response = super().handle_error(request, status, exc, message)
        response.headers.update({hdrs.SERVER: SERVER_NAME, **SAFE_HEADERS})
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log an error between two requests; at debug level if the client caused it."""
        error = kw.get("exc_info")
        is_disconnected = isinstance(error, ConnectionError) and self.transport is None
        if is_disconnected or isinstance(error, web.RequestPayloadError):
            log.debug("http.body_broken: %s", type(error).__name__)
            return
        super().log_exception(*args, **kw)


_TOO_LARGE: Final = HttpProcessingError(code=431, message="the request's head is too long")
_TOO_LATE: Final = HttpProcessingError(code=408, message="the request did not arrive in time")


def _error_info(error: HttpProcessingError) -> _ErrInfo:
    return _ErrInfo(status=error.code, exc=error, message=error.message)


def is_client_error(request: web.BaseRequest, error: BaseException) -> bool:
    """Whether a request failed because of what the client sent, or because it disconnected."""
    if isinstance(error, HttpProcessingError | web.RequestPayloadError):
        return True
    if isinstance(error, UnicodeEncodeError) and not _expectation(request).isascii():
        return True  # aiohttp refuses it with a text that quotes it and that cannot be encoded
    # A ConnectionError may also come from another server that a handler called.
    return error is request.content.exception() or (
        isinstance(error, ConnectionError) and request.transport is None
    )


def _expectation(request: web.BaseRequest) -> str:
    return request.headers.get(hdrs.EXPECT, "")


def when_gone(request: web.BaseRequest) -> asyncio.Future[None]:
    """Is done once the client has disconnected; never on aiohttp's own server."""
    protocol = request.protocol
    if isinstance(protocol, ClientHandler):
        return protocol.gone
    return asyncio.get_running_loop().create_future()


def is_encoded(request: web.BaseRequest) -> bool:
    """Whether the body has a Content-Encoding, for example because it is compressed."""
    return any(
        value.strip().lower() not in _UNENCODED
        for value in request.headers.getall(hdrs.CONTENT_ENCODING, ())
    )


def is_body_raw(request: web.BaseRequest) -> bool:
    """Whether the server leaves bodies as received; aiohttp's own server decompresses them."""
    return isinstance(request.protocol, ClientHandler)


def close_after(request: web.BaseRequest, response: web.Response) -> web.Response:
    """The response to a request with a broken body, set to close the connection.

    aiohttp's own server would read on, find the same error again and log a traceback.
    """
    response.force_close()
    request.content.feed_eof()
    return response


def _log_refused(request: web.BaseRequest, error: BaseException) -> None:
    if log.isEnabledFor(logging.DEBUG):
        log.debug("http.refused: %s, from %s", _reason(error), request.remote)


def _bad_request(error: BaseException) -> web.Response:
    status = HTTPStatus(_status(error))
    response = web.Response(
        status=status, text=f"{status.value} {status.phrase}: {_reason(error)}\n"
    )
    response.headers.update({hdrs.SERVER: SERVER_NAME, **SAFE_HEADERS})
    response.force_close()
    return response


def _status(error: BaseException) -> int:
    if isinstance(error, BodyTooSlowError):
        return 408
    if isinstance(error, HttpProcessingError) and error.code in _OWN_STATUSES:
        return error.code
    return 400


def _reason(error: BaseException) -> str:
    """A short reason that repeats little of what the client sent."""
    if isinstance(error, HttpProcessingError):
        first, _, _ = error.message.partition("\n")
        return plain(first.rstrip(":"), _MAX_REASON_CHARS) or "the request cannot be read"
    if isinstance(error, BodyTooSlowError):
        return str(error)
    if isinstance(error, web.RequestPayloadError):
        return "the body is broken"
    if isinstance(error, UnicodeEncodeError):
        return "the header Expect is not ASCII"
    return "the client disconnected"
