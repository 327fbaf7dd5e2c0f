"""`phoenix-channels-python-client`, a Phoenix client from PyPI, against this server.

It only listens: it joins, hears pushes, and comes back. Over V2 it drops every event that does not
carry its own join_ref, so what it hears are pushes, never broadcasts.
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
    """Over V1 and V2 a task's progress arrives step by step, to the result."""
    base_url, event_log = await serve(build_app()), EventLog()

    async def hear(message: Any) -> None:
        event_log.record((str(message.event), message.payload))

    async with client_of(base_url, protocol_version=version) as client:
        await client.subscribe_to_topic("task:abc", hear)
        heard = [await event_log.next() for _step in STEPS]
        await client.unsubscribe_from_topic("task:abc")

    assert heard == [("progress", {"task_id": "abc", **step}) for step in STEPS]
    assert event_log.is_empty


@pytest.mark.parametrize("version", BOTH_VERSIONS)
async def test_a_refused_join(serve: Serve, version: PhoenixChannelsProtocolVersion) -> None:
    """The reason of an error reply to a join is the text of its exception."""
    base_url = await serve(build_app())

    async with client_of(base_url, protocol_version=version) as client:
        with pytest.raises(PHXTopicError, match="not found"):
            await client.subscribe_to_topic("task:missing")


async def test_a_refused_connect(serve: Serve) -> None:
    """A 403 ends its first connection attempt for good."""
    base_url = await serve(build_app())

    with pytest.raises(PHXConnectionError):
        async with client_of(base_url, "?user=ann&token=deny"):
            pass


async def test_heartbeats_are_acknowledged(serve: Serve) -> None:
    """Its heartbeat is answered in the form that it waits for."""
    base_url, event_log = await serve(build_app()), EventLog()
    options: dict[str, Any] = {
        "heartbeat_interval_s": 0.05,
        "on_heartbeat_ack": lambda: event_log.record("ack"),
    }

    async with client_of(base_url, **options):
        acknowledged = [await event_log.next(), await event_log.next()]

    assert acknowledged == ["ack", "ack"]


async def test_it_comes_back_after_a_forced_disconnect(serve: Serve) -> None:
    """After 1001 it connects and joins again, and hears the task from the beginning."""
    endpoint, event_log = Endpoint(), EventLog()
    base_url = await serve(socket_app(UserSocket, endpoint=endpoint))

    async def hear(message: Any) -> None:
        event_log.record(message.payload["progress"])

    async with client_of(base_url, "?user=ann") as client:
        await client.subscribe_to_topic("task:abc", hear)
        first = [await event_log.next() for _step in STEPS]
        await endpoint.broadcast("user:ann", "disconnect", {})
        again = [await event_log.next() for _step in STEPS]

    assert first == again == [step["progress"] for step in STEPS]


async def test_many_topics_of_one_client(serve: Serve) -> None:
    """Its topics share the connection and hear each their own."""
    base_url, event_log = await serve(build_app()), EventLog()

    async def hear(message: Any) -> None:
        if message.payload["status"] == "completed":
            event_log.record(message.payload["task_id"])

    async with client_of(base_url) as client:
        names = [f"task:{number}" for number in range(20)]
        await asyncio.gather(*(client.subscribe_to_topic(name, hear) for name in names))
        completed = {await event_log.next() for _name in names}

    assert completed == {str(number) for number in range(20)}
