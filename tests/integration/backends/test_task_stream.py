"""Server-sent events of a task, of the whole server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from phoenix_compat.emulator import Emulator, EmulatorSettings
from phoenix_compat.server.backends.task_stream import STREAMS
from phoenix_compat.server.main import open_app
from phoenix_compat.server.process.listening import listening
from tests.integration.backends.event_stream import Event, EventStream, events_in, text_of
from tests.integration.multiprocess.test_workers_tasks import tasks
from tests.integration.outputs.test_text_processes import TEXT_TASK, created, move
from tests.integration.ownership.credentials import auth_settings, by_jwt
from tests.integration.store.unreadable_harness import until
from tests.integration.task_server import Client, settings_for


@asynccontextmanager
async def stopped_server(
    folder: Path, **fields: Any
) -> AsyncIterator[tuple[Emulator, Client, web.Application]]:
    """A server whose predictions run only when the test moves the emulator's clock."""
    async with Emulator(EmulatorSettings(speed=1.0)) as emulator:
        emulator.state.clock.scale(0.0)
        settings = settings_for(
            folder,
            replicate_api_token="r8_test",
            replicate_base_url=emulator.base_url,
            file_hosts=(emulator.origin,),
            **fields,
        )
        async with (
            open_app(settings) as app,
            listening(app, "127.0.0.1", 0) as url,
            aiohttp.ClientSession() as http,
        ):
            yield emulator, Client(url, http), app


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[Emulator, Client, web.Application]]:
    """Such a server without authentication."""
    async with stopped_server(tmp_path) as opened:
        yield opened


async def text_task(client: Client) -> str:
    """Create a task that writes a long text."""
    _, body = await client.request("POST", "/api/tasks", json=TEXT_TASK)
    return str(body["task_id"])


async def test_a_picture_from_the_first_event_to_the_result(
    server: tuple[Emulator, Client, web.Application],
) -> None:
    """The data are the payloads of the channel, and the stream ends after the result."""
    emulator, client, app = server
    task_id = await client.post()
    async with EventStream.of(client.url, task_id) as stream:
        first = await stream.next()
        emulator.state.clock.scale(20.0)
        events = await stream.rest()

    assert stream.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert stream.response.headers["Cache-Control"] == "no-store"
    assert first is not None
    assert (first.name, first.data["status"]) == ("progress", "processing")
    assert {event.name for event in events[:-1]} <= {"progress"}
    assert events[-1].name == "result"
    assert events[-1].data == await client.ended(task_id)
    assert events[-1].data["result_data"]["image_url"].startswith(client.url)
    progress = [event.data["progress"] for event in (first, *events)]
    assert progress == sorted(progress)
    await until(lambda: _are_closed(app))


async def _are_closed(app: web.Application) -> bool:
    return app[STREAMS].counts.open == 0


async def test_a_client_that_has_the_result_is_told_to_stop(
    server: tuple[Emulator, Client, web.Application],
) -> None:
    """A browser that connects again with the id of the last event gets 204, and stops."""
    emulator, client, _ = server
    emulator.state.clock.scale(20.0)
    task_id = await client.post("#fault:nsfw")
    async with EventStream.of(client.url, task_id) as stream:
        *_, last = await stream.rest()
    assert (last.name, last.data["error_data"]["code"]) == ("error", "invalid_input")

    async with EventStream.of(client.url, task_id, Last_Event_ID=last.id) as again:
        assert again.response.status == 204
    async with EventStream.of(client.url, task_id, Last_Event_ID="nonsense") as other:
        assert await other.rest() == [last]


async def test_a_text_goes_on_where_the_client_was(
    server: tuple[Emulator, Client, web.Application],
) -> None:
    """With `Last-Event-ID` only the rest comes; a client with another text gets all of it."""
    emulator, client, _ = server
    task_id = await text_task(client)
    whole = await created(emulator)
    events: list[Event] = []
    async with EventStream.of(client.url, task_id) as stream:
        move(emulator, 0.4)
        while len(text_of(events)) < len(whole) // 4:
            event = await stream.next()
            assert event is not None
            events.append(event)
    half = text_of(events)

    units = events[-1].id.split("-")[1]
    assert int(units) == len(half)
    other = events[-1].id[:-1] + ("0" if events[-1].id[-1] != "0" else "1")
    move(emulator, 0.7)
    async with EventStream.of(client.url, task_id, Last_Event_ID=events[-1].id) as stream:
        rest: list[Event] = []
        while len(text_of(rest, half)) <= len(half):
            event = await stream.next()
            assert event is not None
            rest.append(event)
        async with EventStream.of(client.url, task_id, Last_Event_ID=other) as from_zero:
            move(emulator, 1.1)
            from_the_start = await from_zero.rest()
        rest += await stream.rest()

    assert all(event.data["seq"] > len(half) for event in rest if event.name == "output")
    assert text_of(rest, half) == rest[-1].data["result_data"]["text"] == whole
    assert text_of(from_the_start) == whole


async def test_a_waiting_stream_has_a_heartbeat(
    server: tuple[Emulator, Client, web.Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comments come while nothing happens, and HEAD does not wait."""
    _, client, app = server
    monkeypatch.setattr(app[STREAMS], "_heartbeat_s", 0.05)
    task_id = await client.post()
    async with EventStream.of(client.url, task_id) as stream:
        names: list[tuple[str, object]] = []
        while len(names) < 5:
            event = await stream.next()
            assert event is not None
            names.append((event.name, event.data if not event.name else None))
        assert ("", "heartbeat") in names

    async with (
        aiohttp.ClientSession() as http,
        http.head(f"{client.url}/api/tasks/{task_id}/stream") as answer,
    ):
        assert answer.status == 405


async def test_there_are_not_too_many_streams(tmp_path: Path) -> None:
    """An owner has half of the places, and the last place is everybody's."""
    async with stopped_server(
        tmp_path, max_task_streams=3, public_url="https://a.example", **auth_settings(tmp_path)
    ) as (_, client, app):
        ada, bob = by_jwt("ada"), by_jwt("bob")
        tasks_of = {}
        for who in (ada, bob):
            body = {"input_data": {"type": "image", "prompt": "a"}}
            _, made = await client.request("POST", "/api/tasks", json=body, headers=who.headers)
            tasks_of[who] = made["task_id"]

        async def status(who: Any) -> int:
            path = f"/api/tasks/{tasks_of[who]}/stream"
            return (await client.request("GET", path, headers=who.headers))[0]

        async with EventStream.of(client.url, tasks_of[ada], **ada.headers) as one:
            assert (await one.next()) is not None
            assert await status(ada) == 429
            async with EventStream.of(client.url, tasks_of[bob], **bob.headers) as two:
                assert (await two.next()) is not None
                app[STREAMS]._max_streams = 2
                assert await status(bob) == 503
        await until(lambda: _are_closed(app))
        _, health = await client.request("GET", "/healthz")
        assert health["streams"] == {"open": 0, "opened": 2, "refused": 2, "slow_closed": 0}


async def test_a_client_that_does_not_read_is_closed_and_counted(
    server: tuple[Emulator, Client, web.Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for it is bounded, and so is how long it may take."""
    emulator, client, app = server
    monkeypatch.setattr(app[STREAMS], "_send_timeout_s", 0.3)
    task_id = await text_task(client)
    whole = await created(emulator)
    watching = EventStream.of(client.url, task_id)
    stream = await watching.__aenter__()
    assert await stream.next() is not None
    transport = next(iter(app[STREAMS]._watched))
    monkeypatch.setattr(transport, "take", lambda: b": x\n\n" * 2_000_000)

    move(emulator, 0.4)

    async def is_counted() -> bool:
        return app[STREAMS].counts.slow_closed == 1

    await until(is_counted)
    with pytest.raises(aiohttp.ClientError):
        await stream.response.read()
    await watching.__aexit__(None, None, None)
    assert whole


async def test_a_revoked_owner_is_disconnected(tmp_path: Path) -> None:
    """A disconnect of the owner's sockets ends its streams too."""
    settings = auth_settings(tmp_path)
    async with stopped_server(tmp_path, public_url="https://a.example", **settings) as (
        _,
        client,
        _app,
    ):
        ada = by_jwt("ada")
        body = {"input_data": {"type": "image", "prompt": "a"}}
        _, made = await client.request("POST", "/api/tasks", json=body, headers=ada.headers)
        async with EventStream.of(client.url, made["task_id"], **ada.headers) as stream:
            assert await stream.next() is not None
            endpoint = _app[STREAMS]._endpoint
            endpoint.local_broadcast("user:ada", "disconnect", {})
            # The task may have gone on just before.
            assert all(event.data["status"] == "processing" for event in await stream.rest())


async def test_a_stop_ends_the_streams_at_once(tmp_path: Path) -> None:
    """The server does not wait for its clients."""
    loop = asyncio.get_running_loop()
    async with stopped_server(tmp_path) as (_, client, _app):
        task_id = await client.post()
        watching = EventStream.of(client.url, task_id)
        stream = await watching.__aenter__()
        assert await stream.next() is not None
        stopped_at_s = loop.time()
    assert loop.time() - stopped_at_s < 5.0
    assert [event for event in await stream.rest() if event.name == "result"] == []
    await watching.__aexit__(None, None, None)


async def test_every_process_streams(tmp_path: Path) -> None:
    """Clients of both processes get the text and the result, with one connection each."""
    async with Emulator(EmulatorSettings(speed=1.0)) as emulator:
        emulator.state.clock.scale(0.0)
        async with tasks(
            tmp_path,
            REPLICATE_API_TOKEN="r8_test",
            REPLICATE_BASE_URL=emulator.base_url,
            PHOENIX_COMPAT_FILE_HOSTS=f'["{emulator.origin}"]',
        ) as processes:
            _, answer = await processes.request(0, "POST", "/api/tasks", TEXT_TASK)
            whole = await created(emulator)
            path = f"/api/tasks/{answer['task_id']}/stream"
            clients = [await processes.connect(node) for node in (0, 1)]
            streams = [
                asyncio.create_task(client.request("GET", path, timeout_s=60.0))
                for client in clients
            ]
            try:
                async with EventStream.of(processes.url, answer["task_id"]) as watching:
                    move(emulator, 0.5)
                    assert (await watching.next()) is not None
                    move(emulator, 1.1)
                    await watching.rest()
                answers = [await stream for stream in streams]
            finally:
                for stream in streams:
                    stream.cancel()

        for response in answers:
            events = events_in(response.body.decode())
            assert response.status == 200
            assert events[-1].data["status"] == "completed"
            assert text_of(events) in {whole, ""}
            assert events[-1].data["result_data"]["text"] == whole
