"""Reading the body of a request within limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from unittest.mock import Mock

import pytest
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

from phoenix_compat.transports.aiohttp.body import (
    BodyBrokenError,
    BodyTooLargeError,
    read_body,
)


def make_request(
    chunks: Iterable[bytes], *, is_complete: bool = True
) -> tuple[web.Request, StreamReader]:
    """A POST with these chunks of a body, and the stream of its body."""
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.connection_made(Mock())
    stream = StreamReader(protocol, limit=2**16, loop=loop)
    for chunk in chunks:
        stream.feed_data(chunk)
    if is_complete:
        stream.feed_eof()
    return make_mocked_request("POST", "/", payload=stream), stream


@pytest.mark.parametrize("chunks", [[], [b"abc"], [b"ab", b"c" * 98]])
async def test_a_body_up_to_the_limit_is_returned(chunks: list[bytes]) -> None:
    """All chunks are concatenated."""
    request, _ = make_request(chunks)

    assert await read_body(request, 100) == b"".join(chunks)


async def test_a_body_that_came_with_its_head_needs_no_timer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is there already, so that nothing can be late; its size counts all the same."""
    monkeypatch.setattr(asyncio, "timeout", Mock(side_effect=AssertionError))
    whole, _ = make_request([b"ab", b"c"])
    long, _ = make_request([b"x" * 101])

    assert await read_body(whole, 100, timeout_s=1.0) == b"abc"
    with pytest.raises(BodyTooLargeError):
        await read_body(long, 100, timeout_s=1.0)


async def test_a_body_over_the_limit_is_refused_before_its_end() -> None:
    """One byte too many raises the error, even if the body is not complete."""
    request, _ = make_request([b"x" * 100, b"x"], is_complete=False)

    with pytest.raises(BodyTooLargeError, match="100 bytes") as refused:
        await read_body(request, 100)

    assert refused.value.max_bytes == 100


async def test_a_broken_body_raises_an_error() -> None:
    """An error of aiohttp's parser is the cause of a BodyBrokenError."""
    request, stream = make_request([b"abc"], is_complete=False)
    stream.set_exception(web.RequestPayloadError("bad chunk"))

    with pytest.raises(BodyBrokenError) as broken:
        await read_body(request, 100)

    assert isinstance(broken.value.__cause__, web.RequestPayloadError)


async def test_a_body_that_does_not_end_times_out() -> None:
    """The timeout is for the whole body."""
    request, _ = make_request([b"abc"], is_complete=False)

    with pytest.raises(TimeoutError):
        await read_body(request, 100, timeout_s=0.01)
