"""Tests `phoenix-channels-python-client`, a Phoenix client from PyPI, against this server.

The client only listens: it joins, receives pushes, and reconnects. Over V2 it drops every event
without its own join_ref, so it receives pushes but no broadcasts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from phoenix_channels_python_client import (
    PhoenixChannelsProtocolVersion,
    PHXChannelsClient,
    ReconnectPolicy,
)
from phoenix_channels_python_client.exceptions import PHXConnectionError, PHXTopicError

from phoenix_compat import Endpoint
from tests.conftest import Serve
from tests.interop.server import STEPS, UserSocket, build_app
from tests.serving import EventLog, socket_app

AT_ONCE = ReconnectPolicy(
    base_delay_s=0.01,
    max_delay_s=0.05,
    rapid_first_min_delay_s=0,
    rapid_second_min_delay_s=0,
    service_restart_min_delay_s=0,
    service_restart_max_delay_s=0.05,
)
BOTH_VERSIONS = list(PhoenixChannelsProtocolVersion)


@asynccontextmanager
async def client_of(
    base_url: str, query: str = "", **options: Any
) -> AsyncIterator[PHXChannelsClient]:
    """A connected client."""
    url = base_url.replace("http", "ws") + f"/socket/websocket{query}"
    client = PHXChannelsClient(url, "key", reconnect_policy=AT_ONCE, **options)
    async with client:
        yield client


@pytest.mark.parametrize("version", BOTH_VERSIONS)
async def test_progress_to_completion(
    serve: Serve, version: PhoenixChannelsProtocolVersion
) -> None:
    """Over V1 and V2, a task's progress arrives step by step, up to the result."""
    base_url, events = await serve(build_app()), EventLog()

    async def on_message(message: Any) -> None:
        events.record((str(message.event), message.payload))

    async with client_of(base_url, protocol_version=version) as client:
        await client.subscribe_to_topic("task:abc", on_message)
        received = [await events.next() for _step in STEPS]
        await client.unsubscribe_from_topic("task:abc")

    assert received == [("progress", {"task_id": "abc", **step}) for step in STEPS]
    assert events.is_empty


@pytest.mark.parametrize("version", BOTH_VERSIONS)
async def test_a_refused_join(serve: Serve, version: PhoenixChannelsProtocolVersion) -> None:
    """The client raises the reason of an error reply to a join."""
    base_url = await serve(build_app())

    async with client_of(base_url, protocol_version=version) as client:
        with pytest.raises(PHXTopicError, match="not found"):
            await client.subscribe_to_topic("task:missing")


async def test_a_refused_connect(serve: Serve) -> None:
    """After a 403, the client gives up its first connection attempt."""
    base_url = await serve(build_app())

    with pytest.raises(PHXConnectionError):
        async with client_of(base_url, "?user=ann&token=deny"):
            pass


async def test_heartbeats_are_acknowledged(serve: Serve) -> None:
    """The client recognizes the reply to its heartbeat."""
    base_url, events = await serve(build_app()), EventLog()
    options: dict[str, Any] = {
        "heartbeat_interval_s": 0.05,
        "on_heartbeat_ack": lambda: events.record("ack"),
    }

    async with client_of(base_url, **options):
        acknowledged = [await events.next(), await events.next()]

    assert acknowledged == ["ack", "ack"]


async def test_it_reconnects_after_a_forced_disconnect(serve: Serve) -> None:
    """After 1001, it reconnects and rejoins, and receives the task from the start."""
    endpoint, events = Endpoint(), EventLog()
    base_url = await serve(socket_app(UserSocket, endpoint=endpoint))

    async def on_message(message: Any) -> None:
        events.record(message.payload["progress"])

    async with client_of(base_url, "?user=ann") as client:
        await client.subscribe_to_topic("task:abc", on_message)
        first = [await events.next() for _step in STEPS]
        await endpoint.broadcast("user:ann", "disconnect", {})
        again = [await events.next() for _step in STEPS]

    assert first == again == [step["progress"] for step in STEPS]


async def test_many_topics_of_one_client(serve: Serve) -> None:
    """Topics share the connection, and each receives its own events."""
    base_url, events = await serve(build_app()), EventLog()

    async def on_message(message: Any) -> None:
        if message.payload["status"] == "completed":
            events.record(message.payload["task_id"])

    async with client_of(base_url) as client:
        names = [f"task:{number}" for number in range(20)]
        await asyncio.gather(*(client.subscribe_to_topic(name, on_message) for name in names))
        completed = {await events.next() for _name in names}

    assert completed == {str(number) for number in range(20)}
