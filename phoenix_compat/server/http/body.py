"""Reads the body of a request, up to a limit."""

from __future__ import annotations

from aiohttp import web

from phoenix_compat.server.http.problem import ProblemError


async def read_body(request: web.Request, max_bytes: int) -> bytes:
    """The body of a request, as it was sent.

    Raises:
        ProblemError: 413 if it is longer than `max_bytes`, 400 if it is cut off or malformed.
    """
    body = bytearray()
    try:
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > max_bytes:
                detail = f"The body may have at most {max_bytes} bytes."
                raise ProblemError(413, "too-large", detail)
    except web.RequestPayloadError as error:
        raise ProblemError(400, "bad-request", "The body is broken.") from error
    return bytes(body)
