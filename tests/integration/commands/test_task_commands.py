"""`task create`, `list`, `show`, `cancel` and `retry`, beside a running server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from tests.integration.commands.invoke import invoke, succeed, succeed_json
from tests.integration.task_server import Client, product, settings_for

UNKNOWN = "0190a0a0-0000-7000-8000-000000000000"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A client of a running task server."""
    async with product(settings_for(tmp_path)) as one:
        yield one


async def test_the_life_of_a_task(client: Client, tmp_path: Path) -> None:
    """The server is found by its data directory: a task is created, listed, shown and retried."""
    here = ("--data-dir", tmp_path)
    done = (await succeed("task", "create", "A cat", *here)).strip()
    failed = (await succeed("task", "create", "#fault:E005", *here)).strip()
    ends = [(await client.ended(task_id))["status"] for task_id in (done, failed)]

    table = (await succeed("task", "list", *here)).splitlines()
    found = await succeed_json("task", "list", "--text", "cat", *here)
    shown = await succeed("task", "show", failed, *here)
    refused = await invoke("task", "retry", done, *here)
    retried = await succeed("task", "retry", failed, *here)
    both = await invoke("task", "cancel", done, UNKNOWN, *here)

    assert ends == ["completed", "failed"]
    assert table[0].split() == ["TASK", "STATE", "AGE", "TYPE", "MODEL", "RESULT"]
    assert [line.split()[:2] for line in table[1:]] == [[failed, "failed"], [done, "completed"]]
    assert "content_policy: The prompt" in table[1]
    assert client.url in table[2]
    assert [task["task_id"] for task in found] == [done]
    assert "input.prompt" in shown
    assert shown.splitlines()[-1].endswith("  failed")
    assert refused.exit_code == 2
    assert refused.stderr == "Error: The task is completed; only a failed task can be retried.\n"
    assert retried == f"{failed} is queued again\n"
    assert (both.exit_code, both.stdout) == (1, f"{done} is completed\n")
    assert both.stderr.startswith(f"Error: {UNKNOWN}: ")


async def test_a_task_with_files_and_further_inputs(client: Client, tmp_path: Path) -> None:
    """A file is sent first, JSON values stay JSON, and --watch prints the end."""
    photo = tmp_path / "photo.png"
    Image.new("RGB", (8, 8), "red").save(photo)
    arguments = ("--file", f"image={photo}", "--input", "seed=7", "--input", "note=a: b")
    key = ("--idempotency-key", "one", "--url", client.url)

    task = await succeed_json("task", "create", "A cat", *arguments, *key)
    again = await succeed_json("task", "create", "A cat", *arguments, *key)
    watched = await succeed("task", "create", "Mine", "--watch", "--url", client.url)
    shown = await succeed_json("task", "show", task["task_id"], "--url", client.url)

    inputs = shown["input_data"]
    assert (inputs["seed"], inputs["note"], inputs["prompt"]) == (7, "a: b", "A cat")
    assert inputs["image"] != str(photo)
    assert again["task_id"] == task["task_id"]
    assert "  completed   100%  http" in watched.splitlines()[-1]


async def test_no_tasks_and_errors(client: Client) -> None:
    """Each error says what to do, and its exit code is 2; an empty list is not an error."""
    url = ("--url", client.url)

    empty = await invoke("task", "list", *url)
    missing = await invoke("task", "show", "../../healthz", *url)
    wrong = await invoke("task", "create", "A cat", "--input", "seed", *url)
    nobody = await invoke("task", "list", "--url", "http://127.0.0.1:1")
    json_list = json.loads((await invoke("task", "list", "--json", *url)).stdout)

    assert (empty.exit_code, empty.stdout, empty.stderr) == (0, "", "No tasks.\n")
    assert (missing.exit_code, wrong.exit_code, nobody.exit_code) == (2, 2, 2)
    assert "must be NAME=VALUE" in wrong.stderr
    assert nobody.stderr == (
        "Error: cannot connect to http://127.0.0.1:1: Connection refused; check the URL, and "
        "whether the server runs\n"
    )
    assert json_list == []


async def test_the_newest_task_is_watched(client: Client, tmp_path: Path) -> None:
    """Without an id, as after the curl line that `serve` prints; without a task it says so."""
    here = ("--data-dir", tmp_path)
    none = await invoke("task", "watch", *here)
    await client.post("#fault:E005")
    newest = await client.post()

    payloads = (await succeed("task", "watch", "--json", *here)).splitlines()

    assert (none.exit_code, none.stderr) == (
        2,
        f"Error: {client.url} has no task yet; create one, or name one\n",
    )
    assert json.loads(payloads[-1])["task_id"] == newest


async def test_a_list_longer_than_a_page(client: Client, tmp_path: Path) -> None:
    """--limit counts tasks, and a list that is cut says so."""
    for number in range(3):
        await client.post(f"#fault:E005 {number}")

    cut = await invoke("task", "list", "--limit", "2", "--data-dir", tmp_path)

    assert len(cut.stdout.splitlines()) == 3
    assert cut.stderr == "There are more; raise --limit 2 to see them.\n"
