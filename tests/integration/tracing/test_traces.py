"""One task is one trace, whoever began it and whichever process has worked on it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp

from tests.integration.operations.commands import server
from tests.integration.task_server import Client
from tests.integration.tracing.receiver import ReceivedSpan, Receiver, open_receiver
from tests.patience import factor, patient

COMMAND = ("-m", "phoenix_compat", "serve", "--port", "0")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
HEADERS = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
SECRET = "SECRET PROMPT"
AFTER_RESTART = ("poll", "archive", "announce")


def variables(receiver: Receiver) -> dict[str, str]:
    """The standard variables, with short waits."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}


def config_in(folder: Path, speed: float = 4.0) -> tuple[str, ...]:
    """The command of a server whose data is in the folder, and whose emulator has this speed."""
    path = folder / "c.toml"
    path.write_text(f'data_dir = "data"\nemulator_speed = {speed}\nlog_level = "warning"\n')
    return (*COMMAND, "--config", str(path))


async def create(http: aiohttp.ClientSession, url: str, **headers: str) -> str:
    """Create a task; returns its id."""
    body = {"input_data": {"type": "image", "prompt": SECRET}}
    async with http.post(f"{url}/api/tasks", json=body, headers=headers) as answer:
        assert answer.status == 202, await answer.text()
        return str((await answer.json())["task_id"])


async def is_running(http: aiohttp.ClientSession, url: str, task_id: str) -> None:
    """Wait until the prediction's id is stored: before that, a restart looks for the prediction."""
    async with asyncio.timeout(patient(10.0)):
        while True:
            async with http.get(f"{url}/api/tasks/{task_id}") as answer:
                if (await answer.json())["state"] == "running":
                    return
            await asyncio.sleep(0.01)


async def test_a_task_is_one_trace_over_a_restart(tmp_path: Path) -> None:
    """The client's span is the parent of the POST, which is the parent of all steps: those of the
    process that was killed while the prediction ran, and those of the next one."""
    command = config_in(tmp_path, max(1.5 / factor(), 0.4))  # it runs when the kill comes
    async with open_receiver() as receiver, aiohttp.ClientSession() as http:
        async with server(*command, **variables(receiver)) as (process, url):
            task_id = await create(http, url, **HEADERS)
            await receiver.until(lambda spans: {"create"} <= {span.name for span in spans})
            await is_running(http, url, task_id)
            process.kill()
            await process.wait()
        assert not receiver.named("poll")
        async with server(*command, **variables(receiver)) as (process, url):
            async with asyncio.timeout(patient(30.0)):
                end = await Client(url, http).ended(task_id)
            assert end["status"] == "completed"
            await receiver.until(lambda spans: set(AFTER_RESTART) <= {one.name for one in spans})
            async with http.get(f"{url}/metrics") as answer:
                metrics = await answer.text()
        spans = list(receiver.spans)

    assert {span.trace_id for span in spans} == {TRACE}
    [post] = receiver.named("POST /api/tasks")
    assert post.parent_id == PARENT
    assert post.attributes["task.id"] == task_id
    steps = [span for span in spans if span is not post]
    assert {span.name for span in steps} == {"queue", "create", *AFTER_RESTART}
    assert {span.parent_id for span in steps} == {post.span_id}
    assert not any(span.is_error for span in spans)
    first, second = (
        {one.resource["service.instance.id"] for one in part}
        for part in (
            [span for span in spans if span.name not in AFTER_RESTART],
            [span for span in spans if span.name in AFTER_RESTART],
        )
    )
    assert len(first) == len(second) == 1
    assert first != second
    assert {span.resource["service.name"] for span in spans} == {"phoenix_compat"}
    assert_is_told_in_order(receiver)
    assert SECRET not in str(spans)
    assert 'phoenix_compat_trace_spans_total{result="exported"} 3' in metrics


def assert_is_told_in_order(receiver: Receiver) -> None:
    """The wait in the queue begins with the order and ends before the create, and so on."""
    in_order: list[ReceivedSpan] = [
        receiver.named(name)[0] for name in ("queue", "create", "poll", "archive", "announce")
    ]
    assert [span.began_s for span in in_order] == sorted(span.began_s for span in in_order)
    poll, archive = receiver.named("poll")[0], receiver.named("archive")[0]
    assert poll.attributes["run.resumed"] is True
    assert poll.attributes["status"] == "completed"
    assert archive.ended_s <= poll.ended_s


async def test_a_receiver_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    """Tasks complete, the spans that could not be sent are counted, and the server ends in time."""
    environment = {
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }
    async with (
        server(*config_in(tmp_path), **environment) as (process, url),
        aiohttp.ClientSession() as http,
    ):
        client = Client(url, http)
        end = await client.ended(await client.post(SECRET))
        assert end["status"] == "completed"
        async with http.get(f"{url}/api/status") as answer:
            assert json.loads(await answer.text())["tasks"]["completed"] == 1
        process.terminate()
        async with asyncio.timeout(patient(15.0)):
            assert await process.wait() == 0
