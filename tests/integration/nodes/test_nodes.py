"""Nodes serve each other's clients: what happens at one is seen at another."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.server.inspection.inspection import INSPECTION
from phoenix_compat.server.metrics.metrics import METRICS
from phoenix_compat.server.process.listening import BACKGROUND
from tests.integration.nodes.nodes_harness import (
    RunningNode,
    node_settings,
    running_node,
    running_nodes,
    shared_emulator,
)
from tests.integration.outgoing.receiver import SECRET, Receiver
from tests.integration.task_server import Watch
from tests.patience import patient
from tests.polling import LP_V2, Poller, PollResponse
from tests.wire import V2, PhoenixWire

Nodes = list[RunningNode]


@pytest.fixture
async def nodes(tmp_path: Path, postgres_url: str) -> AsyncIterator[Nodes]:
    """Two nodes."""
    async with running_nodes(tmp_path, postgres_url) as running:
        yield running


async def test_a_task_is_watched_at_another_node(nodes: Nodes) -> None:
    """Its client hears every state up to the end, and the API of both nodes agrees."""
    first, second = nodes
    task_id = await first.post()

    heard = await second.follow(task_id)

    assert heard[-1]["status"] == "completed"
    answers = [await node.request("GET", f"/api/tasks/{task_id}") for node in nodes]
    assert [(status, task["status"]) for status, task in answers] == [(200, "completed")] * 2
    await _operators_see_all(nodes)


async def _operators_see_all(nodes: Nodes) -> None:
    """The console and `status` sum up; /metrics is of the node that is asked."""
    first, second = nodes
    watch = await Watch.begin(second.url, await first.post())

    numbers = await first.app[METRICS].snapshot()
    families = {family.name: family for family in await first.app[METRICS].gather()}

    assert (numbers.processes, numbers.missing_processes, numbers.sockets) == (2, 0, 1)
    assert families["phoenix_compat_nodes_up"].samples[0].value == 2
    assert families["phoenix_compat_bus_deaf"].samples[0].value == 0
    assert "process" not in families["phoenix_compat_sockets"].labels
    await watch.to_the_end()


@pytest.mark.parametrize("broker", ["redis_url", "nats_url"])
async def test_any_bus_will_do(
    broker: str, request: pytest.FixtureRequest, tmp_path: Path, postgres_url: str
) -> None:
    """Redis and NATS carry the hints as PostgreSQL does."""
    bus_url = SecretStr(request.getfixturevalue(broker))
    prefix = f"test-{uuid.uuid4().hex[:8]}"
    async with running_nodes(tmp_path, postgres_url, bus_url=bus_url, bus_prefix=prefix) as (
        first,
        second,
    ):
        heard = await second.follow(await first.post())
        numbers = await second.app[METRICS].snapshot()

    assert heard[-1]["status"] == "completed"
    assert len(heard) > 2  # not only the end, as if there were no bus
    assert numbers.processes == 2


async def test_a_task_is_canceled_at_another_node(nodes: Nodes) -> None:
    """Over the channel and over the API; the run hears of it at once."""
    first, second = nodes
    for cancel in (_cancel_by_channel, _cancel_by_api):
        task_id = await first.post("A very long story about a monk")
        watch = await first.watch(task_id)
        while (await watch.next())["progress"] == 0.0:
            pass

        await cancel(second, task_id)

        ended = (await watch.to_the_end())[-1]
        assert ended["status"] in {"failed", "completed"}  # it may have ended just before
        if ended["status"] == "failed":
            assert ended["error_data"]["code"] == "canceled"


async def _cancel_by_channel(node: RunningNode, task_id: str) -> None:
    wire = await PhoenixWire.open(node.url)
    await wire.join(f"task:{task_id}")
    await wire.send(["1", "9", f"task:{task_id}", "cancel", {}])
    await wire.close()


async def _cancel_by_api(node: RunningNode, task_id: str) -> None:
    status, _ = await node.request("POST", f"/api/tasks/{task_id}/cancel")
    assert status in {200, 202}


async def test_a_text_is_read_along_at_another_node(nodes: Nodes) -> None:
    """Parts of it come before its end, and together they are the result."""
    first, second = nodes
    task_id = await first.post("A story about a monk", type="text")
    wire = await PhoenixWire.open(second.url)
    await wire.join(f"task:{task_id}")
    text, parts, ended = "", 0, None
    async with asyncio.timeout(patient(20.0)):
        while ended is None:
            *_, event, payload = await wire.recv()
            if event == "output":
                text = text[: payload["seq"] - len(payload["text"])] + payload["text"]
                parts += 1
            elif payload["status"] != "processing":
                ended = payload
    await wire.close()

    assert ended["status"] == "completed"
    assert ended["result_data"]["text"] == text
    assert parts > 1


async def test_watchers_of_all_nodes_see_each_other(tmp_path: Path, postgres_url: str) -> None:
    """And the leave of one that ends."""
    async with running_nodes(tmp_path, postgres_url, show_watchers=True) as (first, second):
        topic = f"task:{await first.post()}"
        here = await PhoenixWire.open(first.url, f"{V2}&user=here")
        await here.join(topic)
        await _next_of(here, "presence_state")
        there = await PhoenixWire.open(second.url, f"{V2}&user=there")
        await there.join(topic)

        state = await _next_of(there, "presence_state")
        assert "here" in state
        assert await _next_of(here, "presence_diff", key="there")
        await there.close()
        assert await _next_of(here, "presence_diff", key="there", part="leaves")
        await here.close()


async def _next_of(wire: PhoenixWire, event: str, *, key: str = "", part: str = "joins") -> Any:
    """The payload of the next event of this name, about this key."""
    async with asyncio.timeout(patient(10.0)):
        while True:
            message = await wire.recv()
            if message[3] == event and (not key or key in message[4][part]):
                return message[4]


async def test_a_revoked_key_closes_its_sockets_at_every_node(
    tmp_path: Path, postgres_url: str
) -> None:
    """A key that was made at one node works at the others, until it is revoked anywhere."""
    async with running_nodes(tmp_path, postgres_url, count=1) as [node]:
        await node.app[INSPECTION].keys.create("phone", [Scope.READ])
    async with running_nodes(tmp_path, postgres_url, auth=("keys",)) as (first, second):
        key = await first.app[INSPECTION].keys.create("tv", [Scope.CREATE, Scope.READ])
        headers = {"Authorization": f"Bearer {key}"}
        async with asyncio.timeout(patient(5.0)):
            while (await second.request("GET", "/api/tasks", headers=headers))[0] != 200:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
        wire = await PhoenixWire.open(second.url, f"{V2}&token={key}")

        await first.app[INSPECTION].keys.revoke("tv")

        async with asyncio.timeout(patient(5.0)):
            assert await wire.client.read_frame(None) is not None  # its close
        await wire.client.close()
        assert (await second.request("GET", "/api/tasks", headers=headers))[0] == 401


async def test_one_node_sends_the_webhooks_of_all(tmp_path: Path, postgres_url: str) -> None:
    """Each event arrives once, whichever node the task ran at."""
    async with Receiver.opened() as receiver:
        hooks = ({"url": receiver.url, "secret": SECRET, "allow_private": True},)
        async with running_nodes(tmp_path, postgres_url, on_task_webhooks=hooks) as nodes:
            posted = [await nodes[number % 2].post() for number in range(4)]

            await receiver.until(lambda: len(receiver.events) >= len(posted))
            roles = [node.app[BACKGROUND].report["webhook-default"]["state"] for node in nodes]

    assert sorted(event.task_id for event in receiver.events) == sorted(posted)
    assert sorted(str(state) for state in roles) == ["running", "stopped"]


class RoamingPoller(Poller):
    """A long-poll client of which each request reaches the next node."""

    urls: itertools.cycle[str]

    async def request(self, *arguments: Any, **options: Any) -> PollResponse:
        """See Poller."""
        self.url = next(self.urls) + LP_V2
        return await super().request(*arguments, **options)


async def test_a_long_poll_session_answers_at_every_node(nodes: Nodes) -> None:
    """A client needs no sticky sessions."""
    first, _ = nodes
    task_id = await first.post()
    RoamingPoller.urls = itertools.cycle([node.url for node in nodes])
    client = await RoamingPoller.open(first.url)

    await client.send(["1", "1", f"task:{task_id}", "phx_join", {}])
    heard: list[Any] = []
    async with asyncio.timeout(patient(20.0)):
        while not any(payload.get("status") == "completed" for *_, payload in heard):
            heard += await client.recv_some()

    assert [message[3] for message in heard[:2]] == ["phx_reply", "progress"]


async def test_a_session_of_a_node_that_ended_is_gone(tmp_path: Path, postgres_url: str) -> None:
    """The client begins a new session."""
    async with shared_emulator() as emulator:
        settings = [
            node_settings(tmp_path / f"node-{number}", postgres_url, emulator)
            for number in range(2)
        ]
        async with running_node(settings[0]) as first:
            async with running_node(settings[1]) as second:
                client = await Poller.open(second.url)
                client.url = first.url + LP_V2
                await client.fence()

            assert (await client.get()).json["status"] == 410
