"""The channels of the console with lists: sockets, topics and log lines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from phoenix_compat.server.process.logs.recent_lines import recent_lines
from tests.integration.console.console_harness import Console, console_of
from tests.patience import patient
from tests.wire import PhoenixWire

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def console(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    """A server without authentication."""
    async with console_of(tmp_path_factory.mktemp("lists"), show_watchers=True) as console:
        yield console


async def asked(console: Console, topic: str, event: str, payload: Any) -> tuple[str, Any]:
    """The status and the response to an event on a topic of the console."""
    wire = await console.connect()
    try:
        await wire.join(topic)
        reply = await wire.ask(["1", "2", topic, event, payload])
    finally:
        await wire.close()
    return reply[4]["status"], reply[4]["response"]


async def test_the_clients_of_apps_are_listed_and_disconnected(console: Console) -> None:
    """Not those of the console itself."""
    app = await PhoenixWire.open(console.url)

    _, page = await asked(console, "admin:sockets", "list", {"limit": 10})
    client_id = page["clients"][0]["id"]
    done = await asked(console, "admin:sockets", "disconnect", {"id": client_id})
    again = await asked(console, "admin:sockets", "disconnect", {"id": client_id})

    assert (page["connected"], page["clients"][0]["owner"]) == (1, "")
    assert done == ("ok", {"clients": 1, "silent": []})
    assert await app.recv_close(patient(5.0)) == 1001
    assert again[0] == "error"
    assert again[1]["detail"].endswith("it may have disconnected")
    await app.close()


async def test_the_clients_of_an_owner_are_disconnected(console: Console) -> None:
    """Without authentication all clients are those of nobody."""
    apps = [await PhoenixWire.open(console.url) for _ in range(2)]

    done = await asked(console, "admin:sockets", "disconnect_owner", {"owner": ""})

    assert done == ("ok", {"clients": 2, "silent": []})
    for app in apps:
        assert await app.recv_close(patient(5.0)) == 1001
        await app.close()


async def test_topics_and_who_is_present(console: Console) -> None:
    """A watched task is a topic with one client and one presence."""
    task_id = await console.client.post()
    watch = await console.client.watch(task_id)

    _, page = await asked(console, "admin:channels", "list", {"text": task_id})
    _, present = await asked(console, "admin:channels", "presence", {"topic": f"task:{task_id}"})
    await watch.leave()

    (topic,) = page["topics"]
    assert (topic["topic"], topic["clients"], topic["presences"]) == (f"task:{task_id}", 1, 1)
    assert (present["found"], len(present["keys"])) == (1, 1)


async def test_log_lines(console: Console) -> None:
    """Those that fit, and then only newer ones."""
    recent_lines.remember(None, "", {"level": "error", "event": "test.one", "task_id": "t-lists"})

    _, first = await asked(console, "admin:logs", "list", {"task": "t-lists"})
    recent_lines.remember(None, "", {"level": "info", "event": "test.two", "task_id": "t-lists"})
    _, second = await asked(
        console, "admin:logs", "list", {"task": "t-lists", "after": first["after"]}
    )

    assert [line["event"] for line in first["lines"]] == ["test.one"]
    assert [line["event"] for line in second["lines"]] == ["test.two"]


async def test_the_provider(console: Console) -> None:
    """The join is answered with its state."""
    wire = await console.connect()
    reply = await wire.ask(["1", "1", "admin:provider", "phx_join", {}])
    await wire.close()

    state = reply[4]["response"]
    assert (state["circuit"], state["is_emulator"]) == ("closed", True)
    assert state["creates_per_minute"] == state["full_per_minute"]


@pytest.mark.parametrize(
    ("topic", "event", "payload", "field"),
    [
        ("admin:sockets", "list", {"limit": 10_000}, "limit"),
        ("admin:sockets", "disconnect", {}, "id"),
        ("admin:channels", "list", {"order": "random"}, "order"),
        ("admin:logs", "list", {"level": "all"}, "level"),
    ],
)
async def test_payloads_are_checked(
    console: Console, topic: str, event: str, payload: Any, field: str
) -> None:
    """A payload beyond the bounds is an error that names the field, and the channel goes on."""
    status, response = await asked(console, topic, event, payload)

    assert status == "error"
    assert response["reason"] == "invalid_payload"
    assert field in response["field"] + response["message"]
