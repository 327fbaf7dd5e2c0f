"""docs/task-types.md: every example is run, and the three languages say the same."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.tasks.model.task_types import determine_task_params
from phoenix_compat.tasks.model.task_types_file import packaged_task_types, parse_task_types
from tests.docs.pages import blocks, page, rows
from tests.integration.outputs.text_client import TextClient
from tests.integration.task_server import Client, product, settings_for
from tests.integration.task_types.test_types import recording
from tests.integration.uploads.photo import photo

PAGE = page("task-types.md")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
DEPLOYMENTS = SECTIONS["Deployments and private models"]
OF_TYPES = {
    "edit": "Edit a photo",
    "upscale": "Enlarge a photo",
    "remove_background": "Remove the background",
    "describe": "Describe a photo",
    "transcribe": "Write down speech",
    "chat": "Chat",
}
NODE = shutil.which("node")
RESULT_KEYS = {"describe": "text", "transcribe": "text", "chat": "text"}


def posted(text: str) -> list[dict[str, Any]]:
    """The `input_data` of every task that the curl commands of a text create."""
    commands = [shlex.split(one.removeprefix("$ ")) for one in blocks(text, "console")]
    bodies = [one[one.index("-d") + 1] for one in commands if "-d" in one]
    return [json.loads(one)["input_data"] for one in bodies]


def all_keys(value: object) -> set[str]:
    """The keys of an object, also of those inside it."""
    if isinstance(value, dict):
        return {str(key) for key in value}.union(*map(all_keys, value.values()))
    return set().union(*map(all_keys, value)) if isinstance(value, list) else set()


def keys_of(code: str, pattern: str) -> set[str]:
    return set(re.findall(pattern, code))


@asynccontextmanager
async def client_with_files(folder: Path, **fields: Any) -> AsyncIterator[tuple[Client, Any]]:
    """A client of a server, and the ids of two files that it has."""
    async with product(settings_for(folder, **fields)) as client:
        ids = {}
        for name, content, content_type in (
            ("upload:PHOTO", photo(), "image/jpeg"),
            ("upload:RECORDING", recording(0.5), "audio/wav"),
        ):
            data, headers = io.BytesIO(content), {"Content-Type": content_type}
            _, file = await client.request("POST", "/api/files", data=data, headers=headers)
            ids[name] = file["id"]
        yield client, ids


async def result_of(
    client: Client, ids: Mapping[str, str], input_data: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Run a task of the page to its end."""
    inputs = {
        name: ids.get(value, value) if isinstance(value, str) else value
        for name, value in input_data.items()
    }
    status, task = await client.request("POST", "/api/tasks", json={"input_data": inputs})
    assert status == 202, task
    follower = TextClient(client.url, task["task_id"])
    await follower.join()
    shown = await follower.to_the_end()
    assert shown.progress[-1]["status"] == "completed", shown.progress[-1]
    return dict(shown.progress[-1]["result_data"])


async def test_every_command_creates_a_task_that_completes(tmp_path: Path) -> None:
    """With files in place of those that the page has sent before."""
    async with client_with_files(tmp_path) as (client, ids):
        for type_, heading in OF_TYPES.items():
            for input_data in posted(SECTIONS[heading]):
                assert input_data["type"] == type_

                result = await result_of(client, ids, input_data)

                assert RESULT_KEYS.get(type_, "image_url") in result


@pytest.mark.parametrize("heading", OF_TYPES.values())
def test_the_languages_say_the_same(heading: str) -> None:
    """Each curl command is followed by its JavaScript and its Swift, with the same inputs."""
    section = SECTIONS[heading]
    scripts = [one for one in blocks(section, "javascript") if "run(socket" in one]
    swift = blocks(section, "swift")
    wanted = [all_keys(one) for one in posted(section)]

    assert wanted
    assert [keys_of(one, r'"(\w+)":') for one in swift] == wanted
    names = [keys_of(one, r"(\w+): ") - {"run"} for one in scripts]
    assert [one - {"type_"} for one in names] == [
        keys | ({"type"} if "new File" in script else set())
        for keys, script in zip(wanted, scripts, strict=True)
    ]


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_the_javascript_is_whole(tmp_path: Path) -> None:
    """Node can read each block."""
    for number, code in enumerate(blocks(PAGE, "javascript")):
        path = tmp_path / f"{number}.mjs"
        path.write_text(code)

        command = [str(NODE), "--check", str(path)]
        checked = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - ours

        assert checked.returncode == 0, checked.stderr


def test_the_table_has_every_type() -> None:
    """With the model that runs and the price that is estimated."""
    table = rows(PAGE, "| `type` | makes | from | default model | estimated price in US dollars |")
    named = {re.sub(r"\[?`(\w+)`.*", r"\1", row[0].removeprefix("| ")): row for row in table}
    types = packaged_task_types()

    assert set(named) == set(types)
    for name, row in named.items():
        assert f"`{types[name].default_model}`" in row[3]
        every = {"prompt": "a", "image": "https://a.b/c", "audio": "https://a.b/c", "text": "a"}
        cost = determine_task_params({"type": name, **every}, types).estimated_cost_usd
        price = re.match(r"[\d.]+", row[4])
        assert (cost is None) == (row[4].strip(" |") == "unknown"), name
        assert cost is None or (price is not None and float(price[0]) == cost), name


async def test_deployments(tmp_path: Path) -> None:
    """The settings and the type of the page, with the allow-list that it shows."""
    settings_text, type_text = blocks(DEPLOYMENTS, "toml")
    (input_data,) = posted(DEPLOYMENTS)
    own = tmp_path / "own.toml"
    own.write_text(type_text)
    allowed = tuple(json.loads(settings_text.partition("=")[2]))
    fields = {"task_types_file": own, "allowed_models": allowed}
    async with client_with_files(tmp_path, **fields) as (client, ids):
        image = await result_of(client, ids, input_data)
        edit = {"type": "edit", "image": "upload:PHOTO", "prompt": "Make it snow"}
        edited = await result_of(client, ids, edit)
        other = {"type": "image", "prompt": "a", "model": "deployments/me/other"}
        refused, _ = await client.request("POST", "/api/tasks", json={"input_data": other})
        _, listed = await client.request("GET", "/api/task_types")

    assert image["model"] == edited["model"] == "deployments/you/editor"
    assert refused == 403
    types = {one["type"]: one for one in listed["task_types"]}
    assert types["edit"]["models"][0] == {
        "model": "deployments/you/editor",
        "inputs": ["image", "prompt"],
        "price_usd": 0.05,
    }
    assert listed["allowed_models"] == list(allowed)


async def test_a_deployment_edits_the_photo(tmp_path: Path) -> None:
    """In the emulator it runs the model of its name."""
    name = "deployments/you/nano-banana"
    assert f"`{name}`" in DEPLOYMENTS
    async with client_with_files(tmp_path) as (client, ids):
        input_data = {"type": "edit", "image": "upload:PHOTO", "prompt": "a", "model": name}

        result = await result_of(client, ids, input_data)

    assert result["model"] == name


def test_own_types() -> None:
    """The example can be loaded, and has the keys that the file may have."""
    (text,) = blocks(SECTIONS["Your own types"], "toml")

    poster = parse_task_types(text, "page")["poster"]

    assert poster.inputs[0].choices == ("A4", "A3")
    assert poster.like == "google/nano-banana"
