"""Another backend publishes, and Phoenix clients of the whole server hear it."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.server.main import open_app
from phoenix_compat.server.process.settings import Settings
from tests.integration.multiprocess.multiprocess_harness import multiprocess_server
from tests.integration.ownership.credentials import (
    Sender,
    auth_settings,
    by_jwt,
    by_key,
    store_keys,
)
from tests.integration.ownership.ownership_harness import open_socket
from tests.integration.task_server import Client, settings_for
from tests.patience import patient
from tests.serving import serving
from tests.wire import PhoenixWire

HELLO: Final = {"topic": "room:lobby", "event": "new_msg", "payload": {"body": "hello"}}
PUBLISHER: Final = by_key("key:php", frozenset({Scope.PUBLISH}))
OPERATOR: Final = by_key("key:root", frozenset({Scope.PUBLISH, Scope.OPERATE}))
TOPICS: Final = {"publish_topics": ("room:*", "inbox:*", "user:*"), "listen_topics": ("room:*",)}


class Publisher:
    """A backend that publishes at a server."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def post(self, body: Any, **headers: str) -> tuple[int, Any]:
        """Publish; returns the status and JSON of the response."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self._client.request("POST", "/api/broadcast", json=body, headers=named)

    async def problem(self, body: Any, **headers: str) -> tuple[int, str]:
        """Publish in vain; returns the status and the detail."""
        status, document = await self.post(body, **headers)
        return status, document["detail"]

    async def counts(self) -> dict[str, int]:
        """What `/healthz` counts."""
        _, health = await self._client.request("GET", "/healthz")
        return dict(health["published"])


@asynccontextmanager
async def open_server(settings: Settings) -> AsyncIterator[tuple[Publisher, str]]:
    """Run a server; yields a publisher and the URL."""
    async with (
        open_app(settings) as app,
        serving(app) as url,
        aiohttp.ClientSession() as http,
    ):
        yield Publisher(Client(url, http)), url


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[Publisher, str]]:
    """A server without authentication."""
    async with open_server(settings_for(tmp_path, **TOPICS)) as opened:
        yield opened


async def listener(url: str, topic: str = "room:lobby") -> PhoenixWire:
    """A client that has joined a topic."""
    wire = await PhoenixWire.open(url)
    await wire.join(topic)
    return wire


async def test_a_client_hears_a_message_and_a_batch_in_order(
    server: tuple[Publisher, str],
) -> None:
    """What is answered with 200 has reached the clients of the topic, and nobody else."""
    publisher, url = server
    lobby, other = await listener(url), await listener(url, "room:other")
    batch = [{**HELLO, "event": f"event-{number}"} for number in range(100)]

    one = await publisher.post(HELLO)
    many = await publisher.post({"messages": batch})

    assert one == (200, {"published": 1})
    assert many == (200, {"published": 100})
    assert await lobby.recv() == [None, None, "room:lobby", "new_msg", {"body": "hello"}]
    assert [message[3] for message in await lobby.recv_many(100)] == [
        f"event-{number}" for number in range(100)
    ]
    for wire in (lobby, other):
        await wire.fence()
        await wire.close()
    assert (await publisher.counts())["messages"] == 101


async def test_a_key_publishes_once(server: tuple[Publisher, str]) -> None:
    """A repeat is answered like the first request; the same key with another body is refused."""
    publisher, url = server
    lobby = await listener(url)

    answers = [await publisher.post(HELLO, Idempotency_Key="order-17") for _ in range(2)]
    status, detail = await publisher.problem({**HELLO, "payload": {}}, Idempotency_Key="order-17")

    assert answers == [(200, {"published": 1})] * 2
    assert (status, detail[:20]) == (422, "This Idempotency-Key")
    assert (await lobby.recv())[3] == "new_msg"
    await lobby.fence()
    await lobby.close()
    counts = await publisher.counts()
    assert (counts["messages"], counts["replayed"]) == (1, 1)


NOT_LISTED: Final = (
    'The setting publish_topics does not allow the topic "{}". Add a pattern for it there, or '
    "choose another topic."
)
REFUSED: Final = {
    "a topic outside the list": (
        {**HELLO, "topic": "chat:1"},
        403,
        NOT_LISTED.format("chat:1"),
    ),
    "a topic of this server": (
        {**HELLO, "topic": "task:1"},
        403,
        'The topic "task:1" is one of this server. Choose another one.',
    ),
    "a reserved event": (
        {**HELLO, "event": "phx_close"},
        422,
        'event: must not begin with "phx_", which the protocol uses',
    ),
    "no payload": ({"topic": "room:1", "event": "a"}, 422, "payload: is required"),
    "a payload that is no object": (
        {**HELLO, "payload": "hello"},
        422,
        "payload: must be a JSON object",
    ),
    "a large payload": (
        {**HELLO, "payload": {"a": "x" * 70_000}},
        422,
        "payload: may have at most 65536 bytes of JSON, not 70008",
    ),
    "a long topic": (
        {**HELLO, "topic": "room:" + "x" * 255},
        422,
        "topic: must have 1 to 255 bytes",
    ),
    "one wrong message in a batch": (
        {"messages": [HELLO, {**HELLO, "event": ""}]},
        422,
        "messages.1.event: must have 1 to 255 bytes",
    ),
    "a batch with something else": (
        {"messages": [HELLO, 7]},
        422,
        "messages.1: must be a JSON object",
    ),
    "a batch that is too long": (
        {"messages": [HELLO] * 101},
        422,
        "messages: must have 1 to 100 messages, not 101",
    ),
    "an empty batch": ({"messages": []}, 422, "messages: must have 1 to 100 messages, not 0"),
    "one foreign topic in a batch": (
        {"messages": [HELLO, {**HELLO, "topic": "x"}]},
        403,
        NOT_LISTED.format("x"),
    ),
    "a list": ([HELLO], 422, "body: must be a JSON object"),
}


async def test_what_is_refused_reaches_nobody(server: tuple[Publisher, str]) -> None:
    """Every refusal says what to do, and a batch is refused as a whole."""
    publisher, url = server
    lobby = await listener(url)

    for name, (body, status, detail) in REFUSED.items():
        assert await publisher.problem(body) == (status, detail), name

    await lobby.fence()
    await lobby.close()
    counts = await publisher.counts()
    assert (counts["messages"], counts["refused"]) == (0, 3)


async def test_a_refused_topic_is_named(server: tuple[Publisher, str]) -> None:
    """As a field of the message, or of the message of a batch."""
    publisher, _ = server
    foreign = {**HELLO, "topic": "chat:1"}

    fields = [
        (await publisher.post(body))[1]["field"]
        for body in (foreign, {"messages": [HELLO, foreign]})
    ]

    assert fields == ["topic", "messages.1.topic"]


async def test_without_the_setting_publishing_is_off(tmp_path: Path) -> None:
    """The refusal names the setting."""
    async with open_server(settings_for(tmp_path)) as (publisher, _):
        assert await publisher.problem(HELLO) == (
            403,
            "Publishing is off. List topics in the setting publish_topics.",
        )


@asynccontextmanager
async def open_guarded(folder: Path) -> AsyncIterator[tuple[Publisher, str]]:
    """Run a server with authentication, where each owner has an inbox."""
    settings = settings_for(
        folder,
        public_url="https://pictures.example",
        publish_topics=TOPICS["publish_topics"],
        listen_topics=("inbox:{owner}", "inbox:*"),
        **auth_settings(folder),
    )
    publish = frozenset({Scope.PUBLISH})
    scopes = {"php": publish, "root": publish | {Scope.OPERATE}}
    await store_keys(settings.database_path, more=scopes)
    async with open_server(settings) as opened:
        yield opened


async def join(url: str, who: Sender, topic: str) -> Any:
    """The payload of the reply to a join."""
    wire = await open_socket(url, who)
    reply = await wire.ask(["1", "1", topic, "phx_join", {}])
    await wire.close()
    return reply[4]


async def test_scopes_and_owners(tmp_path: Path) -> None:
    """Only `publish` may publish, an inbox is its owner's, and only `operate` disconnects."""
    async with open_guarded(tmp_path) as (publisher, url):
        ada = by_jwt("ada")
        wire = await open_socket(url, ada)
        await wire.join("inbox:ada")

        status, detail = await publisher.problem(HELLO, **ada.headers)
        own = {**HELLO, "topic": "inbox:ada"}
        answer = await publisher.post(own, **PUBLISHER.headers)
        bye = {"topic": "user:ada", "event": "disconnect", "payload": {}}
        refused = await publisher.post(bye, **PUBLISHER.headers)

        assert (status, detail.partition(". ")[2]) == (403, 'Use a credential that has "publish".')
        assert answer == (200, {"published": 1})
        assert await wire.recv() == [None, None, "inbox:ada", "new_msg", {"body": "hello"}]
        assert await wire.ask([None, "9", "inbox:ada", "shout", {}]) == [
            "1",
            "9",
            "inbox:ada",
            "phx_reply",
            {"status": "error", "response": {"reason": "this topic is for listening only"}},
        ]
        forbidden = {"status": "error", "response": {"reason": "forbidden"}}
        assert await join(url, by_jwt("bob"), "inbox:ada") == forbidden
        assert refused[0] == 403
        assert (await publisher.post(bye, **OPERATOR.headers))[0] == 200
        assert await wire.recv_close() == 1001
        await wire.close()


async def test_early_files_cannot_be_joined(tmp_path: Path) -> None:
    """A pattern that matches everything does not open the topics of this server."""
    settings = settings_for(tmp_path, listen_topics=("*",), publish_topics=("*",))
    async with open_server(settings) as (_, url):
        wire = await PhoenixWire.open(url)
        for topic in ("task_files:1", "admin:overview", "phoenix"):
            reply = await wire.ask(["1", "1", topic, "phx_join", {}])
            assert reply[4]["status"] == "error", topic
        await wire.close()


CURL: Final = shutil.which("curl")


@pytest.mark.skipif(CURL is None, reason="curl is missing")
async def test_curl_publishes_at_every_process(tmp_path: Path) -> None:
    """Whichever process curl reaches, the clients of all processes hear it once."""
    arguments = ("server.py", "serve", "--port", "0", "--data-dir", str(tmp_path / "data"))
    async with multiprocess_server(
        *arguments,
        PHOENIX_COMPAT_PUBLISH_TOPICS='["room:*"]',
        PHOENIX_COMPAT_LISTEN_TOPICS='["room:*"]',
    ) as processes:
        wires = [await processes.wire(node) for node in (0, 1)]
        for wire in wires:
            await wire.join("room:lobby")
        assert CURL is not None
        for number in range(4):
            curl = await asyncio.create_subprocess_exec(
                *(CURL, "-sS", "-w", "%{http_code}", f"{processes.url}/api/broadcast"),
                *("-H", "Content-Type: application/json", "-H", f"Idempotency-Key: {number}"),
                *("-d", json.dumps({**HELLO, "payload": {"number": number}})),
                stdout=asyncio.subprocess.PIPE,
            )
            async with asyncio.timeout(patient(20.0)):
                out, _ = await curl.communicate()
            assert out == b'{"published": 1}200'
        for wire in wires:
            messages = await wire.recv_many(4)
            assert [message[4]["number"] for message in messages] == [0, 1, 2, 3]
            await wire.fence()
            await wire.close()
