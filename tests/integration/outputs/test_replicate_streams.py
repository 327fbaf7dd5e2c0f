"""The connection to a stream: where the token goes, and what each answer means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import pytest
from aiohttp import web

from phoenix_compat.tasks.model.errors import StreamBrokenError, StreamRefusedError
from phoenix_compat.tasks.model.prediction import PredictionRef
from phoenix_compat.tasks.provider.replicate.streams import ReplicateStreams
from phoenix_compat.tasks.streams.server_sent_events import ServerSentEvent
from tests.conftest import Serve
from tests.patience import patient

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def opened(base_url: str, silence_s: float = 60.0) -> AsyncIterator[ReplicateStreams]:
    """Streams of an API at this address; closed at the end."""
    streams = ReplicateStreams(
        token="r8_test", base_url=base_url, connect_timeout_s=patient(5.0), silence_s=silence_s
    )
    try:
        yield streams
    finally:
        await streams.close()


async def serve_stream(serve: Serve, handler: Handler) -> str:
    """Serve a stream at `/stream`; returns the address of the server."""
    app = web.Application()
    app.router.add_get("/stream", handler)
    return await serve(app)


async def events(
    streams: ReplicateStreams, url: str | None, after: str | None = None
) -> list[ServerSentEvent]:
    """The events until `done`."""
    received: list[ServerSentEvent] = []
    async with aclosing(streams.events(PredictionRef("p-1", url), after)) as stream:
        async for event in stream:
            received.append(event)
            if event.event == "done":
                break
    return received


async def test_a_stream_is_asked_for_as_replicate_wants_it(serve: Serve) -> None:
    """With the token, the type, and the last event id; events come as they are sent."""
    asked: list[web.Request] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(request)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        await response.write(b"event: output\nid: 1:1\ndata: x\n\nevent: done\ndata: {}\n\n")
        await asyncio.Event().wait()
        return response

    base_url = await serve_stream(serve, handler)
    async with opened(f"{base_url}/v1") as streams:
        received = await events(streams, f"{base_url}/stream", "1:0")

    assert received == [ServerSentEvent("output", "x", "1:1"), ServerSentEvent("done", "{}")]
    headers = asked[0].headers
    assert headers["Authorization"] == "Bearer r8_test"
    assert headers["Accept"] == "text/event-stream"
    assert headers["Last-Event-ID"] == "1:0"


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "not a url",
        "http://stream.replicate.com/x",
        "https://replicate.com.example/x",
        "https://examplereplicate.com/x",
        "http://127.0.0.1:1/x",
        "file:///etc/passwd",
    ],
)
async def test_the_token_goes_nowhere_else(url: str | None) -> None:
    """An address that is neither the API's nor Replicate's is not asked at all."""
    async with opened("http://127.0.0.1:9/v1") as streams:
        with pytest.raises(StreamRefusedError):
            await events(streams, url)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, StreamRefusedError),
        (401, StreamRefusedError),
        (302, StreamRefusedError),
        (429, StreamBrokenError),
        (500, StreamBrokenError),
        (503, StreamBrokenError),
        (200, StreamRefusedError),
    ],
)
async def test_another_answer_is_no_stream(
    serve: Serve, status: int, error: type[Exception]
) -> None:
    """What may pass is tried again; the rest, a web page and a redirect among it, is not."""

    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text="<html>", headers={"Location": "http://x.test/"})

    base_url = await serve_stream(serve, handler)
    async with opened(f"{base_url}/v1") as streams:
        with pytest.raises(error):
            await events(streams, f"{base_url}/stream")


async def test_a_silent_stream_is_broken(serve: Serve) -> None:
    """After the time that Replicate itself would close it."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await asyncio.Event().wait()
        return response

    base_url = await serve_stream(serve, handler)
    async with opened(f"{base_url}/v1", silence_s=0.05) as streams:
        with pytest.raises(StreamBrokenError):
            await events(streams, f"{base_url}/stream")


async def test_an_event_that_never_ends_is_refused(serve: Serve) -> None:
    """At its limit, so that it cannot use up the memory."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: ")
        for _ in range(100):
            await response.write(b"x" * 10_000)
        return response

    base_url = await serve_stream(serve, handler)
    async with opened(f"{base_url}/v1") as streams:
        with pytest.raises(StreamRefusedError, match="more than 262144 bytes"):
            await events(streams, f"{base_url}/stream")


async def test_a_server_that_is_gone_is_broken(unused_tcp_port: int) -> None:
    """It may come back."""
    url = f"http://127.0.0.1:{unused_tcp_port}"
    async with opened(f"{url}/v1") as streams:
        with pytest.raises(StreamBrokenError):
            await events(streams, f"{url}/stream")
