"""An emulator that was stopped or killed goes on where it would be by now."""

from __future__ import annotations

import asyncio
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
from tests.unit.emulator.caller import Caller, Seen, calling

JPEG = b"\xff\xd8\xff"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "emulator.jsonl"


def remembering(path: Path, **settings: Any) -> AbstractAsyncContextManager[Caller]:
    """A caller of an emulator that remembers; its predictions take 5 s of the wall's clock."""
    return calling(state_file=path, is_running=True, **settings)


async def created_by_another(path: Path, **create: Any) -> Seen:
    """A prediction of an emulator that has ended since."""
    async with remembering(path) as caller:
        return await caller.create(**create)


def text_of(path: Path) -> str:
    """What the file holds by now."""
    return path.read_text()


async def kept_document(caller: Caller, created: Seen) -> Any:
    seen = await caller.get(f"/v1/predictions/{created.json['id']}")
    assert seen.status == 200
    return seen.json


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_task_completes_after_sigkill_and_a_restart(tmp_path: Path, workers: str) -> None:
    """Killed while its prediction runs; the next server ends it, ordered once, with its picture."""
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
            async with http.get(image_url.partition("/files")[0] + "/__emu/counts") as answer:
                counts = await answer.json()

    assert last["status"] == "completed"
    assert picture.startswith(JPEG)
    assert counts["counts"]["created"] == 1


async def running(client: Client, task_id: str) -> None:
    """Wait until the order has been answered."""
    task: Any = {}
    async with asyncio.timeout(patient(10)):
        while "prediction_id" not in task:
            await asyncio.sleep(0.01)
            _, task = await client.request("GET", f"/api/tasks/{task_id}")


async def test_alone_it_remembers_in_the_file_it_is_given(path: Path) -> None:
    """`emulator --state FILE`, killed and started again."""
    alone = ("server.py", "emulator", "--port", "0", "--speed", "20", "--state", str(path))
    headers = {"Authorization": "Bearer any"}
    order = {"input": {"prompt": "x"}}
    async with aiohttp.ClientSession(headers=headers) as http:
        async with server(*alone) as (process, url):
            where = f"{url}/v1/models/google/imagen-4-fast/predictions"
            async with http.post(where, json=order) as answer:
                created = await answer.json()
            process.kill()
            await finish(process)
        async with server(*alone) as (_, again), http.get(created["urls"]["get"]) as answer:
            kept = await answer.json()

    assert again == url
    assert (kept["id"], kept["input"]) == (created["id"], created["input"])


async def test_time_has_passed_meanwhile(path: Path) -> None:
    """What runs for 5 s is over when the next emulator's clock is 10 s ahead; its picture is there,
    under the URL that was given out before."""
    async with remembering(path) as caller:
        created = await caller.create()
        caller.state.clock.advance(10)
        before = await caller.poll(created)
    async with remembering(path) as caller:
        caller.state.clock.advance(10)
        after = await caller.poll(created)
        picture = await caller.get(before.json["output"])

    assert before.json["status"] == "succeeded"
    assert after.json == before.json
    assert picture.body.startswith(JPEG)


async def test_another_port_is_taken_when_the_old_one_is_not_free(path: Path) -> None:
    """The emulator starts all the same, and tells URLs that work."""
    created = await created_by_another(path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(created.json["urls"]["get"].split(":")[2].split("/")[0])))
        other.listen()
        async with remembering(path) as caller:
            document = await kept_document(caller, created)
            stream = await caller.get(f"/__emu/predictions/{created.json['id']}")

            assert document["urls"]["get"].startswith(caller.emulator.origin)
            assert stream.json["urls"]["stream"].startswith(caller.emulator.origin)
    async with remembering(path) as caller:
        assert (await kept_document(caller, created))["id"] == created.json["id"]


async def test_a_cancel_is_kept_and_a_forgotten_one_stays_so(path: Path) -> None:
    """What was asked for before the end holds after it."""
    async with remembering(path) as caller:
        canceled, forgotten = await caller.create("one"), await caller.create("two")
        await caller.request("POST", canceled.json["urls"]["cancel"])
        await caller.request("DELETE", f"/__emu/predictions/{forgotten.json['id']}")
    async with remembering(path) as caller:
        document = await kept_document(caller, canceled)
        gone = await caller.poll(forgotten)

    assert document["status"] == "canceled"
    assert gone.status == 404


async def test_the_list_goes_on(path: Path) -> None:
    """Newest first over both lives; a cursor of the first works in the second."""
    async with remembering(path) as caller:
        for number in range(101):
            await caller.create(str(number))
        first_page = await caller.get("/v1/predictions")
    async with remembering(path) as caller:
        newest = await caller.create("newest")
        page = await caller.get("/v1/predictions")
        older = await caller.get(first_page.json["next"])

    prompts = [one["input"]["prompt"] for one in page.json["results"]]
    assert prompts[:2] == ["newest", "100"]
    assert page.json["results"][0]["id"] == newest.json["id"]
    assert [one["input"]["prompt"] for one in older.json["results"]] == ["0"]


async def test_the_limit_on_creates_is_not_lifted_by_a_restart(path: Path) -> None:
    """What the last minute has used stays used."""
    limits = {"creates_per_minute": 2}
    async with remembering(path, **limits) as caller:
        first = [(await caller.create()).status for _ in range(2)]
    async with remembering(path, **limits) as caller:
        refused = await caller.create()
        caller.state.clock.advance(31)
        allowed = await caller.create()

    assert first == [201, 201]
    assert (refused.status, allowed.status) == (429, 201)


async def test_a_seed_gives_no_id_twice(path: Path) -> None:
    """The same seed after a restart draws the same ids, which are taken."""
    async with remembering(path, seed=5) as caller:
        first = await caller.create()
    async with remembering(path, seed=5) as caller:
        second = await caller.create()

        assert first.json["id"] != second.json["id"]
        assert len(caller.state.predictions) == 2


async def test_a_clock_that_was_set_back_stops_nothing(path: Path) -> None:
    """A prediction from the future begins when the emulator starts."""
    async with remembering(path) as caller:
        caller.state.clock.advance(3600)
        created = await caller.create()
    async with remembering(path) as caller:
        caller.state.clock.advance(6)

        assert (await caller.poll(created)).json["status"] == "succeeded"


async def test_no_more_is_remembered_than_held(path: Path) -> None:
    """The prediction store's capacity holds for the file too."""
    async with remembering(path, max_predictions=3) as caller:
        for number in range(5):
            await caller.create(str(number))
    async with remembering(path, max_predictions=3) as caller:
        kept = [prediction.prompt for prediction in caller.state.predictions]

    assert kept == ["2", "3", "4"]
    assert text_of(path).count("\n") == 5  # the title, the port, and these


async def test_the_file_is_written_anew_while_it_works(path: Path) -> None:
    """It does not grow with what was forgotten long ago."""
    size_bytes = 200 * 1024
    async with remembering(path, max_predictions=2) as caller:
        for _ in range(20):
            await caller.create("x" * size_bytes)
        grown_bytes = len(text_of(path))

    assert grown_bytes < 2 * 3 * size_bytes + 2**20


async def test_an_odd_file_fails_nobody(path: Path) -> None:
    """The server starts, and says so in its log."""
    await asyncio.to_thread(path.write_text, "my shopping list\n")
    serve = ("server.py", "--port", "0", "--data-dir", str(path.parent))
    async with server(*serve) as (process, url), aiohttp.ClientSession() as http:
        status, _ = await Client(url, http).request("GET", "/healthz")
        process.terminate()
        finished = await finish(process)

    assert status == 200
    assert "emulator.begun_anew" in finished.err
    assert text_of(path.with_name("emulator.jsonl.odd")) == "my shopping list\n"


@pytest.fixture
async def hook() -> AsyncIterator[tuple[str, asyncio.Queue[str]]]:
    """A webhook's URL, and the statuses of the predictions that it hears of."""
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        heard.put_nowait((await request.json())["status"])
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", receive)
    async with TestServer(app) as receiver:
        yield str(receiver.make_url("/hook")), heard


async def test_a_webhook_that_was_not_sent_yet_comes_later(
    path: Path, hook: tuple[str, asyncio.Queue[str]]
) -> None:
    """The prediction ended while nobody was there; and when it was reported, it is not again."""
    url, heard = hook
    body = {"webhook": url, "webhook_events_filter": ["completed"]}
    await created_by_another(path, body=body)
    async with remembering(path) as caller:
        caller.state.clock.advance(10)
        async with asyncio.timeout(patient(5)):
            status = await heard.get()
        async with asyncio.timeout(patient(5)):
            while '"reported"' not in text_of(path):  # noqa: ASYNC110 - a file sets no event
                await asyncio.sleep(0.01)
    async with remembering(path) as caller:
        caller.state.clock.advance(10)
        again = await caller.create(body=body)
        caller.state.clock.advance(10)
        async with asyncio.timeout(patient(5)):
            await heard.get()

        assert again.status == 201

    assert status == "succeeded"
    assert heard.empty()
