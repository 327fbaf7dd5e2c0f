"""Outgoing webhooks of the whole server: the setting, the commands, processes, and kills."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from phoenix_compat.server.http.schemas.webhooks import TaskWebhook
from tests.faults.server_process import ServerProcess
from tests.integration.multiprocess.test_workers_tasks import tasks
from tests.integration.operations import commands
from tests.integration.outgoing.receiver import SECRET, Receiver
from tests.integration.task_server import product, settings_for

EVENTS: Final = ["queued", "running", "completed", "failed"]
_BODY: Final = {"input_data": {"type": "image", "prompt": "Medieval monk"}}


def setting(url: str, **fields: Any) -> dict[str, Any]:
    """The setting for one webhook at a private address."""
    return {"url": url, "secret": SECRET, "allow_private": True, **fields}


async def run(*arguments: str, folder: Path, **changes: str) -> commands.Finished:
    """Run `phoenix-compat webhooks` with these arguments."""
    command = ("-m", "phoenix_compat", "webhooks", *arguments, "--data-dir", str(folder))
    return await commands.run(*command, **changes)


async def test_the_server_tells_a_webhook(tmp_path: Path) -> None:
    """With links by `public_url`, and the commands that show what is left."""
    async with Receiver.opened() as receiver:
        hooks = (setting(receiver.url),)
        settings = settings_for(
            tmp_path, on_task_webhooks=hooks, public_url="https://pictures.example"
        )
        async with product(settings) as client:
            completed = await client.post()
            failed = await client.post("#fault:E005")
            await receiver.until(lambda: len(receiver.events) == 2)
        environment = {"PHOENIX_COMPAT_ON_TASK_WEBHOOKS": json.dumps(hooks)}
        listed = await run("list", "--json", folder=tmp_path, **environment)
        unknown = await run("replay", "other", folder=tmp_path, **environment)

    by_task = {event.task_id: event for event in receiver.events}
    assert (by_task[completed].type, by_task[failed].type) == ("task.completed", "task.failed")
    url = by_task[completed].data["result_data"]["image_url"]
    assert url.startswith("https://pictures.example/files/")
    assert by_task[failed].data["error_data"]["code"] == "content_policy"
    [webhook] = json.loads(listed.out)
    assert (webhook["name"], webhook["delivered"], webhook["pending"]) == ("default", 2, 0)
    assert unknown.code == 2
    assert "there is no webhook 'other'; the settings have: default" in unknown.err


async def test_the_events_are_as_the_openapi_document_says(tmp_path: Path) -> None:
    """Those of a task that completes, and of one that fails."""
    async with Receiver.opened() as receiver:
        hooks = (setting(receiver.url, events=EVENTS),)
        async with product(settings_for(tmp_path, on_task_webhooks=hooks)) as client:
            await client.post()
            await client.post("#fault:E005")
            await receiver.until(lambda: len(receiver.events) == 6)

    for one in receiver.events:
        body = {"type": one.type, "timestamp": one.timestamp, "data": one.data}
        found = TaskWebhook.model_validate_json(json.dumps(body))
        assert found.model_dump(exclude_unset=True) == body


@pytest.mark.long
@pytest.mark.timeout(180)
@pytest.mark.parametrize("kills", [1, 4])
async def test_kills_lose_no_event(tmp_path: Path, kills: int) -> None:
    """The server is killed while events wait and while they are sent; each arrives, in order."""
    async with Receiver.opened() as receiver, aiohttp.ClientSession() as http:
        environment = {
            "PHOENIX_COMPAT_EMULATOR_SPEED": "20",
            "PHOENIX_COMPAT_ON_TASK_WEBHOOKS": json.dumps([setting(receiver.url, events=EVENTS)]),
        }
        server = ServerProcess(tmp_path, environment)
        receiver.answer = lambda _event: 500
        ids: list[str] = []
        for kill in range(kills):
            await server.start()
            await server.ready(http)
            for _ in range(4):
                async with http.post(f"{server.url}/api/tasks", json=_BODY) as answer:
                    ids.append((await answer.json())["task_id"])
            attempts = receiver.attempts
            await receiver.until(lambda had=attempts: receiver.attempts > had)  # type: ignore[misc] # bound now
            if kill % 2 == 0:
                receiver.answer = lambda event: 200 if event.type == "task.queued" else 500
            await server.kill()
        receiver.answer = lambda _event: 200
        await server.start()
        await server.ready(http)
        replayed = await run("replay", "default", folder=server.folder, **environment)

        def have_ended() -> bool:
            return all(
                receiver.of_task(one)[-1:] in (["task.completed"], ["task.failed"]) for one in ids
            )

        await receiver.until(have_ended, 60.0)
        for one in ids:
            async with http.get(f"{server.url}/api/tasks/{one}/events") as answer:
                history = (await answer.json())["events"]
            happened = [f"task.{event['event']}" for event in history if event["event"] in EVENTS]
            assert receiver.of_task(one) == happened
        await server.stop()

    assert replayed.code == 0
    assert replayed.out.startswith("default is enabled; ")


async def test_a_server_with_several_processes_tells_it_once(tmp_path: Path) -> None:
    """The process that has the database sends, whichever process took the task."""
    async with Receiver.opened() as receiver:
        hooks = json.dumps([setting(receiver.url)])
        async with tasks(tmp_path, PHOENIX_COMPAT_ON_TASK_WEBHOOKS=hooks) as processes:
            ids = [await processes.post(node) for node in (0, 1)]
            await receiver.until(lambda: len(receiver.events) >= 2)

    assert sorted(event.task_id for event in receiver.events) == sorted(ids)
