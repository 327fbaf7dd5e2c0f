"""Reads the body of a request, with problem documents as errors."""

from __future__ import annotations

from aiohttp import web

from phoenix_compat.server.http.problem import ProblemError
from phoenix_compat.transports.aiohttp import body


async def read_body(request: web.Request, max_bytes: int) -> bytes:
    """The body of a request, as it was sent.

    Raises:
        ProblemError: 413 if it is longer than `max_bytes`, 400 if it is cut off or malformed,
            408 if it did not arrive in time.
    """
    try:
        return await body.read_body(request, max_bytes)
    except body.BodyTooLargeError as error:
        detail = f"The body may have at most {max_bytes} bytes."
        raise ProblemError(413, "too-large", detail) from error
    except body.BodyBrokenError as error:
        raise ProblemError(400, "bad-request", "The body is broken.") from error
    except TimeoutError as error:
        detail = "The body did not arrive in time; send it without pauses."
        headers = {"Connection": "close"}
        raise ProblemError(408, "request-timeout", detail, headers=headers) from error
