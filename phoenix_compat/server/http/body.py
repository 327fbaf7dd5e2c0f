"""Reads the body of a request, with problem documents as errors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator

import msgspec
from aiohttp import web

from phoenix_compat.bounded import TOO_DEEP, is_too_deep
from phoenix_compat.http_server import BodyTooSlowError
from phoenix_compat.protocol.page_guard import refuse_body
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
        raise _too_slow() from error


async def body_blocks(request: web.Request, block_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body of a request as it arrives, in blocks of at most this size.

    Raises:
        ProblemError: 400 if it is cut off or malformed, 408 if it did not arrive in time.
    """
    try:
        async for block in request.content.iter_chunked(block_bytes):
            yield block
    except BodyTooSlowError as error:
        raise _too_slow() from error
    except web.RequestPayloadError as error:
        raise ProblemError(400, "bad-request", "The body is broken.") from error


def require_json(request: web.Request) -> None:
    """Refuse other bodies: any web page can send the other types, see `page_guard`.

    Raises:
        ProblemError: 415.
    """
    refused = refuse_body(request.method, request.headers, has_body=request.body_exists)
    if refused is not None:
        raise ProblemError(*refused, headers={"Accept-Post": "application/json"})


def parsed_json(body: bytes | bytearray) -> object:
    """The value of a JSON body.

    Raises:
        ProblemError: 400, it is not valid JSON, or nested too deeply.
    """
    try:
        parsed = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProblemError(
            400, "malformed-json", f"The body is not valid JSON: {error}."
        ) from error
    except RecursionError as error:
        raise _too_deep() from error
    if is_too_deep(parsed):
        raise _too_deep()
    return parsed


def body_fingerprint(body: object) -> str:
    """A hash of a JSON body that ignores white space and the order of keys: 64 hex digits."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _too_slow() -> ProblemError:
    detail = "The body did not arrive in time; send it without pauses."
    return ProblemError(408, "request-timeout", detail, headers={"Connection": "close"})


def _too_deep() -> ProblemError:
    return ProblemError(400, "too-deep", f"The body {TOO_DEEP}.", errors=(("body", TOO_DEEP),))
