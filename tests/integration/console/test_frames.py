"""The messages of one client in the console, with what is wrong with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from phoenix_compat.server.inspection import frames
from phoenix_compat.server.inspection.inspection import INSPECTION
from tests.integration.console.console_harness import Console, console_of
from tests.patience import patient
from tests.unit.server.inspection.tools_of_tests import tools_of
from tests.wire import V1, V2, PhoenixWire

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def console(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    """A server whose console has the tools of the command."""
    async with console_of(tmp_path_factory.mktemp("frames"), tools=tools_of()) as console:
        yield console


class Inspector:
    """An open inspector of one client."""

    def __init__(self, wire: PhoenixWire, client_id: str) -> None:
        self.client_id = client_id
        self._wire = wire
        self._ref = 10
        self._last = 0

    async def read(self) -> Any:
        """The page after the last one that was read."""
        self._ref += 1
        query = {"id": self.client_id, "after": self._last}
        reply = await self._wire.ask(["1", str(self._ref), "admin:sockets", "frames", query])
        assert reply[4]["status"] == "ok", reply
        page = reply[4]["response"]
        self._last = page["last"]
        return page


@asynccontextmanager
async def inspecting(console: Console, text: str) -> AsyncIterator[Inspector]:
    """Watch the only client that fits to a text."""
    wire = await console.connect()
    await wire.join("admin:sockets")
    listed = await wire.ask(["1", "2", "admin:sockets", "list", {"text": text}])
    (client,) = listed[4]["response"]["clients"]
    inspector = Inspector(wire, client["id"])
    first = await inspector.read()
    assert (first["frames"], first["is_checked"], first["ended"]) == ([], True, None)
    try:
        yield inspector
    finally:
        await wire.close()


def shown(page: Any) -> list[tuple[bool, Any]]:
    """For each message, whether the client has sent it, and its event."""
    return [(frame["from_client"], frame["message"][3]) for frame in page["frames"]]


@pytest.mark.parametrize("target", [V1, V2])
async def test_correct_clients_have_no_marks(console: Console, target: str) -> None:
    """What was joined before is known, and replies to earlier messages are not taken for wrong."""
    task_id = await console.client.post()
    app = await PhoenixWire.open(console.url, target)
    topic = f"task:{task_id}"
    is_v1 = target == V1
    join = {"topic": topic, "event": "phx_join", "payload": {}, "ref": "1"}
    await app.ask(join if is_v1 else ["1", "1", topic, "phx_join", {}])

    async with inspecting(console, task_id) as inspector:
        ask = {"topic": topic, "event": "status", "payload": {"token": "my secret"}, "ref": "2"}
        await app.send(ask if is_v1 else ["1", "2", topic, "status", {"token": "my secret"}])
        async with asyncio.timeout(patient(20.0)):
            found: list[Any] = []
            # The task's own `progress` may come before, between and after the two.
            while not {True, False} <= {frame["from_client"] for frame in found}:
                page = await inspector.read()
                found += page["frames"]

    assert [frame["marks"] for frame in found] == [[]] * len(found)
    (asked,) = (frame for frame in found if frame["from_client"])
    message = asked["message"]
    assert (message if is_v1 else dict(zip("jrtep", message, strict=True)))[
        "payload" if is_v1 else "p"
    ] == {"token": "[FILTERED]"}
    await app.close()


async def test_wrong_messages_are_marked(console: Console) -> None:
    """With the rule, and who broke it; long payloads are cut, and others are shown as they are."""
    app = await PhoenixWire.open(console.url)
    async with inspecting(console, "websocket") as inspector:
        await app.ask(["1", "5", "task:nobody-joined", "status", {"text": "x" * 5_000}])
        page = await inspector.read()

        assert shown(page) == [(True, "status"), (False, "phx_reply")]
        asked = page["frames"][0]
        assert [(mark["rule"], mark["side"]) for mark in asked["marks"]] == [
            ("client/not-joined", "client")
        ]
        assert asked["size_bytes"] > 5_000
        assert len(str(asked["message"])) < 1_000

        await app.send_text("no json")
        assert await app.recv_close() == 1011
        async with asyncio.timeout(patient(5.0)):
            while page["ended"] is None:
                page = await inspector.read()
        await app.close()

    assert page["ended"] is not None


async def test_without_looks_the_watch_ends(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client is as before; a look begins anew. More than a few watches are refused."""
    monkeypatch.setattr(frames, "LEASE_S", 0.05)
    monkeypatch.setattr(frames, "MAX_WATCHED", 0)
    app = await PhoenixWire.open(console.url)
    wire = await console.connect()
    await wire.join("admin:sockets")
    listed = await wire.ask(["1", "2", "admin:sockets", "list", {}])
    client_id = listed[4]["response"]["clients"][0]["id"]

    refused = await wire.ask(["1", "3", "admin:sockets", "frames", {"id": client_id}])
    monkeypatch.setattr(frames, "MAX_WATCHED", 4)
    await wire.ask(["1", "4", "admin:sockets", "frames", {"id": client_id}])
    async with asyncio.timeout(patient(5.0)):
        watched = console.app[INSPECTION].frames._watched
        while int(client_id[2:]) in watched:  # noqa: ASYNC110 - a timer sets no event
            await asyncio.sleep(0.01)
    await app.fence()
    unknown = await wire.ask(["1", "5", "admin:sockets", "frames", {"id": "0-99999"}])

    assert "watched already" in refused[4]["response"]["detail"]
    assert unknown[4]["response"]["detail"].startswith("no client has this id")
    await wire.close()
    await app.close()
