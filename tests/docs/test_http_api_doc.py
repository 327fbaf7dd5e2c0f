"""docs/http-api.md is what the command writes, and each of its examples does what it says."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.server.http.openapi.markdown import BASE_URL, COMMAND, http_api_page
from phoenix_compat.server.http.openapi.routes import ROUTES
from phoenix_compat.server.http.openapi.routes.tasks import PICTURE, TASK_ID
from tests.docs.pages import anchors, links, page
from tests.integration.store.unreadable_harness import until
from tests.integration.task_server import Client, product, settings_for
from tests.integration.uploads.photo import photo

PAGE = page("http-api.md")
EXAMPLE = re.compile(
    r"```console\n\$ (?P<command>.*?)\n```\n(?:\nThe answer is (?P<status>\d+):\n\n"
    r"```json\n(?P<answer>.*?)\n```)?",
    re.DOTALL,
)


def test_the_page_is_what_the_command_writes() -> None:
    """Run the command in the page's first lines after a change of the routes."""
    assert http_api_page() == PAGE, COMMAND


def test_links_within_the_page_resolve() -> None:
    """Each route and schema has its heading."""
    found = {anchor for path, anchor in links(PAGE) if not path}

    assert found <= anchors(PAGE)


def test_every_route_has_an_example() -> None:
    """Except those that say why not."""
    assert len(EXAMPLE.findall(PAGE)) == sum(route.example is not None for route in ROUTES)


@dataclass
class Examples:
    """A server that has what the examples are about.

    Attributes:
        ids: the tasks to use, by the ends of paths.
    """

    client: Client
    folder: Path
    ids: dict[str, str]
    picture: str

    async def run(self, command: str) -> tuple[int, str]:
        """Run a curl command with real ids; returns the status and the body of the answer."""
        end = next((one for one in self.ids if f"{TASK_ID}{one}" in command), "")
        text = command.replace(BASE_URL, self.client.url).replace(TASK_ID, self.ids[end])
        text = text.replace(PICTURE, self.picture)
        if "/thumbnails/" in text:
            text = text.replace(self.picture, f"{self.picture[:64]}.webp")
        process = await asyncio.create_subprocess_exec(
            *shlex.split(text.replace("\\\n", " ")),
            *("-w", "\n%{http_code}"),
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, text
        body, _, status = output.decode().rpartition("\n")
        return int(status), body


@pytest.fixture
async def examples(tmp_path: Path) -> AsyncIterator[Examples]:
    """Tasks that have completed, failed and are running, and a photo to send."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (tmp_path / "photo.jpg").write_bytes(photo())
    async with product(settings_for(tmp_path / "data", publish_topics=("room:*",))) as client:
        await client.ended(await client.post())
        done = await client.post()
        picture = (await client.ended(done))["result_data"]["image_url"].rpartition("/")[2]
        failed = await client.post("#fault:E005")
        stuck = await client.post("#fault:stuck_processing")
        await client.ended(failed)

        async def is_running() -> bool:
            _, task = await client.request("GET", f"/api/tasks/{stuck}")
            return bool(task["state"] == "running")

        await until(is_running)
        ids = {"/cancel": stuck, "/retry": failed, "": done}
        yield Examples(client, tmp_path, ids, picture)


async def test_every_example_runs(examples: Examples) -> None:
    """Its status and the keys of its answer are as in the page."""
    for found in EXAMPLE.finditer(PAGE):
        command = found["command"]

        status, body = await examples.run(command)

        assert status == int(found["status"] or 200), f"{command}\n{body}"
        if found["answer"] is not None:
            assert_like(json.loads(found["answer"]), json.loads(body), command)


def assert_like(expected: Any, answer: Any, where: str) -> None:
    """The answer has the keys of the example, with values of the same types, and may have more."""
    if isinstance(expected, dict):
        assert isinstance(answer, dict), where
        for key, value in expected.items():
            assert key in answer, f"{where}: {key} is missing"
            assert_like(value, answer[key], f"{where}: {key}")
    elif isinstance(expected, list):
        assert len(answer) >= len(expected), where
        for one in expected:
            assert_one_is_like(one, answer, where)
    else:
        assert type(answer) is type(expected), f"{where}: {answer!r}, not like {expected!r}"


def assert_one_is_like(expected: Any, answers: list[Any], where: str) -> None:
    """One of several is like the example."""
    errors = []
    for answer in answers:
        try:
            assert_like(expected, answer, where)
        except AssertionError as error:
            errors.append(error)
        else:
            return
    raise errors[0]
