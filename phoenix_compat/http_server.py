"""aiohttp's HTTP server, for clients that are not trusted.

A request that cannot be read, and a client that goes away, are everyday news: one line for
debugging, a short answer without a word about what this server is made of, and little work.
aiohttp itself writes a traceback for each. Bodies are handed on as they came: nothing is inflated.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from phoenix_compat.bounded import plain

log = logging.getLogger(__name__)

SERVER_NAME: Final = "phoenix_compat"
_MAX_REASON_CHARS: Final = 120
_UNENCODED: Final = frozenset({"", "identity"})


class AppRunner(web.AppRunner):
    """Serves an application with `ClientHandler`; otherwise as aiohttp's."""

    def __init__(self, app: web.Application, **options: Any) -> None:
        super().__init__(app, **{"access_log": None, "auto_decompress": False, **options})

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,  # noqa: SLF001 - aiohttp has no other way to name the handler's class
            **made._kwargs,  # noqa: SLF001 - the same
        )


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return ClientHandler(self, loop=self._loop, **self._kwargs)


class ClientHandler(web.RequestHandler):
    """One client's connection, as long as it speaks HTTP."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be handled: 400 when the client erred, 500 for a bug of ours."""
        if exc is not None and is_clients_fault(request, exc):
            _log_refused(request, exc)
            if request._payload_writer.output_size:  # noqa: SLF001 - as aiohttp looks at it
                raise ConnectionError("the answer was begun already")
            return _bad_request(exc)
        response = super().handle_error(request, status, exc, message)
        response.headers[hdrs.SERVER] = SERVER_NAME
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log what happened between requests, unless it is what clients do."""
        error = kw.get("exc_info")
        is_gone = isinstance(error, ConnectionError) and self.transport is None
        if is_gone or isinstance(error, web.RequestPayloadError):
            log.debug("http.body_broken: %s", type(error).__name__)
            return
        super().log_exception(*args, **kw)


def is_clients_fault(request: web.BaseRequest, error: BaseException) -> bool:
    """Whether a request failed because of what its client sent, or because it went away."""
    if isinstance(error, HttpProcessingError | web.RequestPayloadError):
        return True
    # Others may come from elsewhere, of a server that was asked.
    return error is request.content.exception() or (
        isinstance(error, ConnectionError) and request.transport is None
    )


def is_encoded(request: web.BaseRequest) -> bool:
    """Whether the body is compressed, or whatever else its Content-Encoding says."""
    return any(
        value.strip().lower() not in _UNENCODED
        for value in request.headers.getall(hdrs.CONTENT_ENCODING, ())
    )


def reads_raw(request: web.BaseRequest) -> bool:
    """Whether this server hands bodies on as they came; aiohttp's own inflates them."""
    return isinstance(request.protocol, ClientHandler)


def unread(request: web.BaseRequest, response: web.Response) -> web.Response:
    """An answer to a body that is broken; the connection closes behind it.

    aiohttp's own server would go on reading, find that once more, and log a traceback.
    """
    response.force_close()
    request.content.feed_eof()
    return response


def _log_refused(request: web.BaseRequest, error: BaseException) -> None:
    if log.isEnabledFor(logging.DEBUG):
        log.debug("http.refused: %s, from %s", _reason(error), request.remote)


def _bad_request(error: BaseException) -> web.Response:
    response = web.Response(status=400, text=f"400 Bad Request: {_reason(error)}\n")
    response.headers[hdrs.SERVER] = SERVER_NAME
    response.force_close()
    return response


def _reason(error: BaseException) -> str:
    """A short reason, with little of what the client sent."""
    if isinstance(error, HttpProcessingError):
        first, _, _ = error.message.partition("\n")
        return plain(first.rstrip(":"), _MAX_REASON_CHARS) or "it cannot be read"
    if isinstance(error, web.RequestPayloadError):
        return "the body is broken"
    return "the client went away"
