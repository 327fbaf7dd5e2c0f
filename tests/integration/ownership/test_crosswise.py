"""Two owners on the whole server: no route and no event shows or changes what is the other's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web

from phoenix_compat.emulator import Emulator, EmulatorSettings
from phoenix_compat.server.channel.task_channel import TaskChannel
from phoenix_compat.server.main import open_app
from tests.integration.ownership.credentials import (
    Sender,
    auth_settings,
    by_backend,
    by_jwt,
    by_key,
    by_phoenix_token,
    store_keys,
)
from tests.integration.ownership.ownership_harness import (
    ADA,
    BOB,
    MISSING_ID,
    SECRET_PROMPT,
    open_socket,
)
from tests.integration.store.unreadable_harness import until
from tests.integration.task_server import SPEED, settings_for
from tests.integration.uploads.photo import photo
from tests.patience import patient
from tests.polling import Poller
from tests.serving import serving
from tests.wire import OK, UNMATCHED, PhoenixWire

BODY: Final = {"input_data": {"type": "image", "prompt": SECRET_PROMPT}}

BY_ID: Final = {
    "GET /api/tasks/{task_id}",
    "GET /api/tasks/{task_id}/events",
    "GET /api/tasks/{task_id}/stream",
    "POST /api/tasks/{task_id}/cancel",
    "POST /api/tasks/{task_id}/retry",
}
"""The answer is the same for another's task and for a missing one."""
ENDLESS: Final = {"GET /api/tasks/{task_id}/stream"}
"""The answer to its owner ends with the task."""
LISTS: Final = {"GET /api/tasks"}
"""The answer has nothing of another's."""
CREATES: Final = {"POST /api/tasks"}
"""The same Idempotency-Key of another makes another task."""
UPLOADS: Final = {"POST /api/files"}
"""What is sent is its sender's own."""
SHARED: Final = {"GET /api/task_types"}
"""The answer is the same for everybody who has a credential."""
PUBLISHING: Final = {"POST /api/broadcast"}
"""It needs a scope that users do not have."""
OPERATORS: Final = "/api/console/"
"""The routes below this path are for operators only; tests/integration/console asks them all with a
key of an app."""
PUBLIC: Final = {
    *("GET /", "GET /healthz", "GET /openapi.json", "GET /readyz"),
    *("GET /console", "GET /docs", "GET /favicon.ico", "GET /favicon.svg"),
}
"""The answer is the same for everybody, and has nothing of anybody's."""
PARTS_OF_PAGES: Final = {"GET /console/static/{name}", "GET /docs/{name}"}
"""Files of the package."""
CAPABILITIES: Final = {
    "GET /files/{name}",
    "GET /files/thumbnails/{name}",
    "POST /webhooks/replicate",
}
"""Whoever knows the hash of a file, or the tag and the signature of a webhook, may use it."""
MEASURES: Final = {"GET /metrics", "GET /api/status"}
"""Only a credential for operators sees them; they name nobody."""
CHANNELS: Final = {
    *("* /socket/websocket", "* /socket/longpoll"),
    "* /console/socket/websocket",
}
"""The tests of the channel's events cover these; the console's is for operators only."""

CREDENTIAL_NEEDED: Final = BY_ID | LISTS | CREATES | UPLOADS | SHARED | PUBLISHING
ALL: Final = CREDENTIAL_NEEDED | PUBLIC | PARTS_OF_PAGES | CAPABILITIES | MEASURES | CHANNELS


DOORS: Final[dict[str, tuple[Sender, Sender]]] = {
    "keys": (by_key("key:ada"), by_key(BOB)),
    "tokens": (by_jwt(ADA), by_phoenix_token("user-17")),
    "backend": (by_backend(ADA), by_backend("user-17")),
}
"""Ada's credential and Bob's."""


@dataclass
class WholeServer:
    """The task server with two owners, and a task of Ada that stands still at the emulator."""

    app: web.Application
    url: str
    http: aiohttp.ClientSession
    ada: Sender
    bob: Sender
    task_id: str

    async def ask(self, who: Sender, method: str, path: str, **more: Any) -> tuple[int, str]:
        """Send a request of an owner; returns the status and text of the response."""
        headers = who.headers | more.pop("headers", {})
        async with self.http.request(method, self.url + path, headers=headers, **more) as answer:
            return answer.status, await answer.text()

    async def is_running(self) -> bool:
        """Whether Ada's task has a prediction, so that it does not change any more by itself."""
        path = f"/api/tasks/{self.task_id}"
        return '"state":"running"' in (await self.ask(self.ada, "GET", path))[1]

    async def until_ada_sees(self, text: str) -> None:
        """Wait until the channel of Ada's task sends something with this text."""
        wire = await open_socket(self.url, self.ada)
        await wire.join(f"task:{self.task_id}")
        async with asyncio.timeout(patient(20.0)):
            while text not in await wire.recv_text():
                pass
        await wire.close()

    async def everything_of_ada(self) -> list[Any]:
        """The task of Ada and its history, as Ada sees them, without the rising progress."""
        path = f"/api/tasks/{self.task_id}"
        answers = [await self.ask(self.ada, "GET", one) for one in (path, f"{path}/events")]
        documents = [json.loads(text) for _, text in answers]
        return [{**documents[0], "progress": 0, "updated_at": ""}, documents[1]]


@pytest.fixture
async def server(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[WholeServer]:
    """The whole server, with all its routes; the parameter is one of DOORS."""
    ada, bob = DOORS[getattr(request, "param", "keys")]
    async with Emulator(EmulatorSettings(speed=SPEED)) as replicate:
        replicate.state.clock.scale(0.0)
        settings = settings_for(
            tmp_path,
            replicate_api_token="r8_test",
            replicate_base_url=replicate.base_url,
            public_url="https://pictures.example",
            **auth_settings(tmp_path),
        )
        await store_keys(settings.database_path, "ada", "bob")
        async with (
            open_app(settings) as app,
            serving(app) as url,
            aiohttp.ClientSession() as http,
        ):
            headers = ada.headers | {"Idempotency-Key": "once"}
            async with http.post(f"{url}/api/tasks", json=BODY, headers=headers) as posted:
                task_id = (await posted.json())["task_id"]
            server = WholeServer(app, url, http, ada, bob, task_id)
            await until(server.is_running)
            yield server


by_all_doors = pytest.mark.parametrize("server", DOORS, indirect=True)


def tells_nothing(text: str, server: WholeServer) -> bool:
    """Whether a text has neither the id, nor the prompt, nor the owner of Ada's task."""
    return not any(word in text for word in (server.task_id, SECRET_PROMPT, server.ada.owner))


def routes_of(app: web.Application) -> set[str]:
    """Every route as "METHOD /path", without those for operators."""
    found = set()
    for route in app.router.routes():
        info = route.get_info()
        path = str(info.get("path") or info.get("formatter"))
        if route.method != "HEAD" and not path.startswith(OPERATORS):
            found.add(f"{route.method} {path}")
    return found


async def test_every_route_has_its_test(server: WholeServer) -> None:
    """A new route must be added to one of the sets above, and so to its test."""
    assert routes_of(server.app) == ALL


@by_all_doors
@pytest.mark.parametrize("route", sorted(BY_ID))
async def test_another_owners_task_is_like_a_missing_one(server: WholeServer, route: str) -> None:
    """Status and body are the same, and the task is as it was."""
    method, pattern = route.split(" ")
    before = await server.everything_of_ada()

    foreign, missing = [
        await server.ask(server.bob, method, pattern.format(task_id=task_id))
        for task_id in (server.task_id, MISSING_ID)
    ]

    assert foreign == missing
    assert foreign[0] == 404
    assert await server.everything_of_ada() == before
    if route not in ENDLESS:
        own = await server.ask(server.ada, method, pattern.format(task_id=server.task_id))
        assert own[0] in {200, 202, 409}


@by_all_doors
async def test_a_list_has_nothing_of_anothers(server: WholeServer) -> None:
    """With all filters, before and after the other owner has tasks of its own."""
    queries = ("", "?status=processing", "?status=running", "?limit=1")
    empty = {await server.ask(server.bob, "GET", f"/api/tasks{query}") for query in queries}
    await server.ask(server.bob, "POST", "/api/tasks", json=BODY)

    lists = [await server.ask(server.bob, "GET", f"/api/tasks{query}") for query in queries]
    of_ada = [await server.ask(server.ada, "GET", f"/api/tasks{query}") for query in queries]

    assert empty == {(200, '{"tasks":[]}')}
    for status, text in lists:
        assert status == 200
        assert tells_nothing(text, server)
    for _, text in of_ada:
        assert {task["task_id"] for task in json.loads(text)["tasks"]} == {server.task_id}


@by_all_doors
@pytest.mark.parametrize("prompt", [SECRET_PROMPT, "another prompt"])
async def test_an_idempotency_key_of_another_makes_another_task(
    server: WholeServer, prompt: str
) -> None:
    """Neither the task nor its body can be found out with the key."""
    before = await server.everything_of_ada()
    body = {"input_data": {"type": "image", "prompt": prompt}}

    status, text = await server.ask(
        server.bob, "POST", "/api/tasks", json=body, headers={"Idempotency-Key": "once"}
    )

    assert status == 202
    assert tells_nothing(text, server)
    assert await server.everything_of_ada() == before


@by_all_doors
async def test_an_uploaded_file_of_another_cannot_be_used(server: WholeServer) -> None:
    """Another's file is like a missing one, until the same file is sent."""
    jpeg = {"data": photo(), "headers": {"Content-Type": "image/jpeg"}}
    _, text = await server.ask(server.ada, "POST", "/api/files", **jpeg)

    async def use(who: Sender, reference: str) -> tuple[int, str]:
        body = {"input_data": {"type": "image", "prompt": "a", "image": reference}}
        return await server.ask(who, "POST", "/api/tasks", json=body)

    reference = json.loads(text)["id"]
    foreign, missing = await use(server.bob, reference), await use(server.bob, "upload:" + "0" * 64)
    own = await use(server.ada, reference)
    sent = await server.ask(server.bob, "POST", "/api/files", **jpeg)
    after = await use(server.bob, reference)

    assert foreign == missing
    assert [foreign[0], own[0], sent[0], after[0]] == [422, 202, 201, 202]


async def test_a_public_route_tells_nothing(server: WholeServer) -> None:
    """Whoever asks, the answer has nothing of Ada's."""
    for route in PUBLIC | SHARED:
        method, path = route.split(" ")

        status, text = await server.ask(server.bob, method, path)

        assert status == 200
        assert tells_nothing(text, server)


async def test_a_route_for_operators_refuses_owners(server: WholeServer) -> None:
    """An owner gets 403, which names the scope."""
    for route in MEASURES:
        method, path = route.split(" ")

        status, text = await server.ask(server.ada, method, path)

        assert status == 403
        assert "operate" in text
        assert tells_nothing(text, server)


async def test_a_capability_cannot_be_guessed(server: WholeServer) -> None:
    """A name that nobody has been told leads nowhere."""
    for route in CAPABILITIES:
        method, pattern = route.split(" ")
        path = pattern.replace("{name}", "0" * 64 + ".png")

        status, text = await server.ask(server.bob, method, path)

        assert 400 <= status < 500
        assert tells_nothing(text, server)


@pytest.mark.parametrize("route", sorted(CREDENTIAL_NEEDED))
async def test_without_a_credential_every_route_is_closed(server: WholeServer, route: str) -> None:
    """401, also for the task that exists; nothing is told and nothing changes."""
    method, pattern = route.split(" ")
    before = await server.everything_of_ada()
    answers = []

    for credential in (None, by_key("key:nobody").credential, by_jwt("").credential):
        headers = {} if credential is None else {"Authorization": f"Bearer {credential}"}
        url = server.url + pattern.format(task_id=server.task_id)
        async with server.http.request(method, url, headers=headers) as answer:
            answers.append((answer.status, await answer.text()))

    assert [status for status, _ in answers] == [401] * 3
    assert all(tells_nothing(text, server) for _, text in answers)
    assert await server.everything_of_ada() == before


NOT_FOUND: Final = {"response": {"reason": "not found"}, "status": "error"}
Event = Callable[[str, str], list[Any]]
EVENTS: Final[dict[str, Event]] = {
    "phx_join": lambda topic, ref: [ref, ref, topic, "phx_join", {}],
    "phx_leave": lambda topic, ref: [None, ref, topic, "phx_leave", {}],
    "status": lambda topic, ref: [None, ref, topic, "status", {}],
    "cancel": lambda topic, ref: [None, ref, topic, "cancel", {}],
}


def test_every_event_has_its_test() -> None:
    """A new event of the task's channel must be added to EVENTS."""
    assert set(TaskChannel.handlers) | {"phx_join", "phx_leave"} == set(EVENTS)


async def open_websocket(url: str, who: Sender) -> PhoenixWire | Poller:
    """A websocket of an owner."""
    return await open_socket(url, who)


async def open_long_poll(url: str, who: Sender) -> PhoenixWire | Poller:
    """A long-poll session of an owner."""
    return await Poller.open(url, headers=who.headers)


@by_all_doors
@pytest.mark.parametrize("connect", [open_websocket, open_long_poll])
async def test_events_on_anothers_topic_are_like_those_on_a_missing_topic(
    server: WholeServer, connect: Callable[[str, Sender], Awaitable[PhoenixWire | Poller]]
) -> None:
    """The replies are the same, the task is as it was, and none of its changes arrive."""
    before = await server.everything_of_ada()
    client = await connect(server.url, server.bob)

    for event, message in EVENTS.items():
        replies = []
        for number, task_id in enumerate((server.task_id, MISSING_ID)):
            topic, ref = f"task:{task_id}", f"{event}-{number}"
            joined = await client.ask([f"j-{ref}", f"j-{ref}", topic, "phx_join", {}])
            assert joined[4] == NOT_FOUND
            reply = await client.ask(message(topic, ref))
            assert reply[2:4] == [topic, "phx_reply"]
            replies.append(reply[4])
        assert replies[0] == replies[1]
        assert replies[0] in (NOT_FOUND, UNMATCHED, OK)

    assert await server.everything_of_ada() == before
    await server.ask(server.ada, "POST", f"/api/tasks/{server.task_id}/cancel")
    await server.until_ada_sees("canceled")
    await client.fence()
    if isinstance(client, PhoenixWire):
        await client.close()
