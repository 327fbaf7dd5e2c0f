"""Reads the body of an HTTP request within limits."""

from __future__ import annotations

import asyncio

from aiohttp import web

from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.http_server import BodyTooSlowError


class BodyTooLargeError(PhoenixCompatError):
    """The body of a request is longer than the limit.

    Attributes:
        max_bytes: the limit.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"the body is longer than {max_bytes} bytes")
        self.max_bytes = max_bytes


class BodyBrokenError(PhoenixCompatError):
    """The body of a request violates HTTP, or the client closed the connection within it."""


async def read_body(
    request: web.BaseRequest, max_bytes: int, *, timeout_s: float | None = None
) -> bytes:
    """Read the whole body of a request.

    Args:
        max_bytes: the limit; reading stops at the first bytes beyond it.
        timeout_s: the limit for the whole body; None waits as long as the connection lasts.

    Raises:
        BodyTooLargeError: the body is longer than `max_bytes`.
        BodyBrokenError: the body cannot be read.
        TimeoutError: the body was not complete within `timeout_s`, or within the server's bound.
    """
    body = bytearray()
    try:
        if request.content.is_eof():  # it came with the head, as most do: no need for a timer
            arrived = request.content.read_nowait()
            if len(arrived) > max_bytes:
                raise BodyTooLargeError(max_bytes)
            return arrived
        async with asyncio.timeout(timeout_s):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > max_bytes:
                    raise BodyTooLargeError(max_bytes)
    except BodyTooSlowError as error:
        raise TimeoutError(str(error)) from error
    except web.RequestPayloadError as error:
        raise BodyBrokenError("the body of the request is broken") from error
    return bytes(body)
