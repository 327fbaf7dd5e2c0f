"""The client of an HTTP request: its body, and whether it is gone."""

from __future__ import annotations

import asyncio
import json

import pytest

from phoenix_compat.runtime.limits import Counters
from phoenix_compat.transports.asgi import client as client_module
from phoenix_compat.transports.asgi.client import AsgiClient
from phoenix_compat.transports.response import HttpResponse
from tests.unit.transports.asgi.harness import FakeServer, Harness, ended, http_scope


async def body_of(server: FakeServer, max_bytes: int = 10) -> tuple[bytes | HttpResponse, Counters]:
    """The body, or the refusal, and the counters."""
    counters = Counters()
    with AsgiClient(server.receive, counters) as client:
        return await client.read_body(max_bytes), counters


async def test_a_body_in_parts() -> None:
    """All parts, in order."""
    server = FakeServer()
    server.give("http.request", body=b"12345", more_body=True)
    server.give("http.request", body=b"67890")

    assert (await body_of(server))[0] == b"1234567890"


async def test_a_body_that_is_too_long() -> None:
    """It is refused at the first bytes beyond the limit, and the connection closed."""
    server = FakeServer()
    server.give("http.request", body=b"12345678901", more_body=True)

    refused, _ = await body_of(server)

    assert isinstance(refused, HttpResponse)
    assert (refused.status, refused.closes) == (400, True)


async def test_a_client_that_disconnects_within_its_body() -> None:
    """Nobody gets the refusal."""
    server = FakeServer()
    server.give("http.request", body=b"1", more_body=True)
    server.give("http.disconnect")

    refused, _ = await body_of(server)

    assert isinstance(refused, HttpResponse)
    assert refused.status == 400


async def test_a_body_that_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused with 408, and counted."""
    monkeypatch.setattr(client_module, "_BODY_TIMEOUT_S", 0.01)

    refused, counters = await body_of(FakeServer())

    assert isinstance(refused, HttpResponse)
    assert (refused.status, counters.frames_timed_out) == (408, 1)


async def open_session(harness: Harness) -> bytes:
    """Open a long-poll session; returns the query with its token."""
    server, running = harness.run(http_scope(query_string=b"vsn=2.0.0"))
    await ended(running)
    token: str = json.loads(server.sent[1]["body"])["token"]
    return f"vsn=2.0.0&token={token}".encode()


async def test_a_poll_whose_client_is_gone_takes_nothing() -> None:
    """What comes after the disconnect is for the next poll."""
    harness = Harness()
    query = await open_session(harness)
    server, running = harness.run(http_scope(query_string=query))
    server.give("http.request")
    server.give("http.disconnect")
    await server.received_when(2)
    await asyncio.sleep(0)

    post, posting = harness.run(http_scope(query_string=query, method="POST"))
    post.give("http.request", body=b'["1","1","room:a","phx_join",{}]')
    await ended(posting)
    await ended(running)
    again, polling = harness.run(http_scope(query_string=query))
    await ended(polling)

    assert json.loads(post.sent[1]["body"]) == {"status": 200}
    assert json.loads(server.sent[1]["body"])["messages"] == []
    assert len(json.loads(again.sent[1]["body"])["messages"]) == 1
