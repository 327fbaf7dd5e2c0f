"""The state of an emulator after a restart or SIGKILL."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.integration.operations.commands import finish, server
from tests.integration.task_server import Client
from tests.patience import patient
from tests.unit.emulator.emulator_client import EmulatorClient, Response, emulator_client

JPEG = b"\xff\xd8\xff"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "emulator.jsonl"


def persistent_client(path: Path, **settings: Any) -> AbstractAsyncContextManager[EmulatorClient]:
    """A client of an emulator with a state file; its predictions take 5 s."""
    return emulator_client(state_file=path, is_running=True, **settings)


async def created_by_earlier_emulator(path: Path, **create: Any) -> Response:
    """The response to a create at an emulator that has been closed since."""
    async with persistent_client(path) as client:
        return await client.create(**create)


def text_of(path: Path) -> str:
    """The current content of the file."""
    return path.read_text()


async def stored_document(client: EmulatorClient, created: Response) -> Any:
    response = await client.get(f"/v1/predictions/{created.json['id']}")
    assert response.status == 200
    return response.json


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_task_completes_after_sigkill_and_a_restart(tmp_path: Path, workers: str) -> None:
    """Killed while the prediction runs, the next server completes the task with one create."""
    serve = ("server.py", "--port", "0", "--data-dir", str(tmp_path), "--workers", workers)
    speed = {"PHOENIX_COMPAT_EMULATOR_SPEED": "2"}
    async with aiohttp.ClientSession() as http:
        async with server(*serve, **speed) as (process, url):
            task_id = await Client(url, http).post()
            await running(Client(url, http), task_id)
            process.kill()
            await finish(process)
        async with server(*serve, **speed) as (_, url):
            last = await Client(url, http).ended(task_id)
            image_url = last["result_data"]["image_url"]
            async with http.get(image_url) as answer:
                picture = await answer.read()

    assert last["status"] == "completed"
    assert picture.startswith(JPEG)
    created = re.findall(r'"id": "(\w{26})"', text_of(tmp_path / "emulator.jsonl"))
    assert len(set(created)) == 1


async def running(client: Client, task_id: str) -> None:
    """Wait until the create has been answered."""
    task: Any = {}
    async with asyncio.timeout(patient(10)):
        while "prediction_id" not in task:
            await asyncio.sleep(0.01)
            _, task = await client.request("GET", f"/api/tasks/{task_id}")


async def test_the_command_restores_its_state_file(path: Path) -> None:
    """`emulator --state FILE` has its predictions again after SIGKILL and a restart."""
    command = ("server.py", "emulator", "--port", "0", "--speed", "20", "--state", str(path))
    headers = {"Authorization": "Bearer any"}
    body = {"input": {"prompt": "x"}}
    async with aiohttp.ClientSession(headers=headers) as http:
        async with server(*command) as (process, url):
            create_url = f"{url}/v1/models/google/imagen-4-fast/predictions"
            async with http.post(create_url, json=body) as answer:
                created = await answer.json()
            process.kill()
            await finish(process)
        async with server(*command) as (_, again), http.get(created["urls"]["get"]) as answer:
            restored = await answer.json()

    assert again == url
    assert (restored["id"], restored["input"]) == (created["id"], created["input"])


async def test_predictions_go_on_while_the_emulator_is_down(path: Path) -> None:
    """A prediction of 5 s has ended after 10 s, and its earlier picture URL still works."""
    async with persistent_client(path) as client:
        created = await client.create()
        client.state.clock.advance(10)
        before = await client.poll(created)
    async with persistent_client(path) as client:
        client.state.clock.advance(10)
        after = await client.poll(created)
        picture = await client.get(before.json["output"])

    assert before.json["status"] == "succeeded"
    assert after.json == before.json
    assert picture.body.startswith(JPEG)


async def test_another_port_is_used_when_the_previous_one_is_taken(path: Path) -> None:
    """The emulator starts on another port, and its URLs have that port."""
    created = await created_by_earlier_emulator(path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(created.json["urls"]["get"].split(":")[2].split("/")[0])))
        other.listen()
        async with persistent_client(path) as client:
            document = await stored_document(client, created)
            stream = await client.get(f"/__emu/predictions/{created.json['id']}")

            assert document["urls"]["get"].startswith(client.emulator.origin)
            assert stream.json["urls"]["stream"].startswith(client.emulator.origin)
    async with persistent_client(path) as client:
        assert (await stored_document(client, created))["id"] == created.json["id"]


async def test_cancels_and_deletions_are_restored(path: Path) -> None:
    """A canceled prediction stays canceled, and a deleted one stays deleted."""
    async with persistent_client(path) as client:
        canceled, forgotten = await client.create("one"), await client.create("two")
        await client.request("POST", canceled.json["urls"]["cancel"])
        await client.request("DELETE", f"/__emu/predictions/{forgotten.json['id']}")
    async with persistent_client(path) as client:
        document = await stored_document(client, canceled)
        deleted = await client.poll(forgotten)

    assert document["status"] == "canceled"
    assert deleted.status == 404


async def test_the_list_continues(path: Path) -> None:
    """The list has predictions from both runs, and a cursor from before the restart works."""
    async with persistent_client(path) as client:
        for number in range(101):
            await client.create(str(number))
        first_page = await client.get("/v1/predictions")
    async with persistent_client(path) as client:
        newest = await client.create("newest")
        page = await client.get("/v1/predictions")
        older = await client.get(first_page.json["next"])

    prompts = [one["input"]["prompt"] for one in page.json["results"]]
    assert prompts[:2] == ["newest", "100"]
    assert page.json["results"][0]["id"] == newest.json["id"]
    assert [one["input"]["prompt"] for one in older.json["results"]] == ["0"]


async def test_a_restart_does_not_reset_the_limit_on_creates(path: Path) -> None:
    """The creates of the last minute still count."""
    limits = {"creates_per_minute": 2}
    async with persistent_client(path, **limits) as client:
        first = [(await client.create()).status for _ in range(2)]
    async with persistent_client(path, **limits) as client:
        refused = await client.create()
        client.state.clock.advance(31)
        allowed = await client.create()

    assert first == [201, 201]
    assert (refused.status, allowed.status) == (429, 201)


async def test_a_seed_does_not_repeat_an_id(path: Path) -> None:
    """After a restart a seed draws the same ids again; used ones are skipped."""
    async with persistent_client(path, seed=5) as client:
        first = await client.create()
    async with persistent_client(path, seed=5) as client:
        second = await client.create()

        assert first.json["id"] != second.json["id"]
        assert len(client.state.predictions) == 2


async def test_predictions_from_the_future_start_now(path: Path) -> None:
    """When the clock was set back, a prediction starts when the emulator starts."""
    async with persistent_client(path) as client:
        client.state.clock.advance(3600)
        created = await client.create()
    async with persistent_client(path) as client:
        client.state.clock.advance(6)

        assert (await client.poll(created)).json["status"] == "succeeded"


async def test_the_state_file_has_no_more_predictions_than_the_store(path: Path) -> None:
    """The capacity of the store also limits the file."""
    async with persistent_client(path, max_predictions=3) as client:
        for number in range(5):
            await client.create(str(number))
    async with persistent_client(path, max_predictions=3) as client:
        prompts = [prediction.prompt for prediction in client.state.predictions]

    assert prompts == ["2", "3", "4"]
    assert text_of(path).count("\n") == 5  # the header, the port, and these


async def test_the_file_is_rewritten_while_the_emulator_runs(path: Path) -> None:
    """The file does not grow with evicted predictions."""
    size_bytes = 200 * 1024
    async with persistent_client(path, max_predictions=2) as client:
        for _ in range(20):
            await client.create("x" * size_bytes)
        file_bytes = len(text_of(path))

    assert file_bytes < 2 * 3 * size_bytes + 2**20


async def test_a_foreign_state_file_does_not_stop_the_server(path: Path) -> None:
    """The server starts, renames the file and logs that."""
    await asyncio.to_thread(path.write_text, "my shopping list\n")
    serve = ("server.py", "--port", "0", "--data-dir", str(path.parent))
    async with server(*serve) as (process, url), aiohttp.ClientSession() as http:
        status, _ = await Client(url, http).request("GET", "/healthz")
        process.terminate()
        finished = await finish(process)

    assert status == 200
    assert "emulator.state_file_set_aside" in finished.err
    assert text_of(path.with_name("emulator.jsonl.odd")) == "my shopping list\n"


@pytest.fixture
async def hook() -> AsyncIterator[tuple[str, asyncio.Queue[str]]]:
    """The URL of a webhook receiver, and the statuses that it receives."""
    statuses: asyncio.Queue[str] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        statuses.put_nowait((await request.json())["status"])
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", receive)
    async with TestServer(app) as receiver:
        yield str(receiver.make_url("/hook")), statuses


async def test_an_unsent_webhook_is_sent_after_a_restart(
    path: Path, hook: tuple[str, asyncio.Queue[str]]
) -> None:
    """A webhook that was due while the emulator was down is sent once after the restart."""
    url, statuses = hook
    body = {"webhook": url, "webhook_events_filter": ["completed"]}
    await created_by_earlier_emulator(path, body=body)
    async with persistent_client(path) as client:
        client.state.clock.advance(10)
        async with asyncio.timeout(patient(5)):
            status = await statuses.get()
        async with asyncio.timeout(patient(5)):
            while '"reported"' not in text_of(path):  # noqa: ASYNC110 - a file sets no event
                await asyncio.sleep(0.01)
    async with persistent_client(path) as client:
        client.state.clock.advance(10)
        again = await client.create(body=body)
        client.state.clock.advance(10)
        async with asyncio.timeout(patient(5)):
            await statuses.get()

        assert again.status == 201

    assert status == "succeeded"
    assert statuses.empty()
