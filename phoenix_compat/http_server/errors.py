"""What is answered to requests that cannot be served, and what the log has of them."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import _ErrInfo

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
_OWN_STATUSES: Final = frozenset({408, 431})


class BodyTooSlowError(web.RequestPayloadError):
    """The body of a request was not complete in time."""

    def __init__(self) -> None:
        super().__init__("the body did not arrive in time")


TOO_LARGE: Final = HttpProcessingError(code=431, message="the request's head is too long")
TOO_LATE: Final = HttpProcessingError(code=408, message="the request did not arrive in time")


def error_info(error: HttpProcessingError) -> _ErrInfo:
    """The error in the form in which aiohttp puts it in the place of a request."""
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


def log_refused(request: web.BaseRequest, error: BaseException) -> None:
    """One debug line for a request that the client has broken."""
    if log.isEnabledFor(logging.DEBUG):
        log.debug("http.refused: %s, from %s", _reason(error), request.remote)


def bad_request(error: BaseException) -> web.Response:
    """The response to it, which closes the connection."""
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
