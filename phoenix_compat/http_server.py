"""aiohttp's HTTP server, adapted for untrusted clients.

Unreadable requests and clients that disconnect are normal. Each costs one debug line and a short
response that does not name the server's software; aiohttp itself logs a traceback for each.
Bodies are passed on as received: nothing is decompressed.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

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


class AppRunner(web.AppRunner):
    """Like aiohttp's AppRunner, but serves each connection with a `ClientHandler`."""

    def __init__(self, app: web.Application, **options: Any) -> None:
        super().__init__(app, **{"access_log": None, "auto_decompress": False, **options})

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return _Server(
            server.request_handler,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            loop=server._loop,  # noqa: SLF001 - aiohttp has no public way to set the handler class
            **server._kwargs,  # noqa: SLF001 - the same
        )


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return ClientHandler(self, loop=self._loop, **self._kwargs)


class ClientHandler(web.RequestHandler):
    """The protocol of one HTTP connection."""

    __slots__ = ()

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
    response = web.Response(status=400, text=f"400 Bad Request: {_reason(error)}\n")
    response.headers.update({hdrs.SERVER: SERVER_NAME, **SAFE_HEADERS})
    response.force_close()
    return response


def _reason(error: BaseException) -> str:
    """A short reason that repeats little of what the client sent."""
    if isinstance(error, HttpProcessingError):
        first, _, _ = error.message.partition("\n")
        return plain(first.rstrip(":"), _MAX_REASON_CHARS) or "the request cannot be read"
    if isinstance(error, web.RequestPayloadError):
        return "the body is broken"
    if isinstance(error, UnicodeEncodeError):
        return "the header Expect is not ASCII"
    return "the client disconnected"
