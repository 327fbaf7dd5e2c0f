"""The examples of docs/other-backends.md publish, and phoenix.js hears them."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.server.main import open_app
from tests.docs.pages import blocks, page
from tests.integration.ownership.credentials import auth_settings, by_jwt, by_key, store_keys
from tests.integration.task_server import settings_for
from tests.interop.test_phoenix_js import HERE, Run, node, run
from tests.patience import patient
from tests.serving import serving

__all__ = ["node", "run"]  # fixtures

pytestmark = pytest.mark.node

PAGE: Final = page("other-backends.md")
PUBLISHER: Final = by_key("key:php", frozenset({Scope.PUBLISH}))
CURL: Final = ("sh", "-c")
NODE: Final = ("node", "--input-type=module", "-e")
COMMANDS: Final = {
    "curl": (CURL, blocks(PAGE, "bash")[0]),
    "PHP": (("php", "-r"), blocks(PAGE, "php")[0].removeprefix("<?php\n")),
    "Node": (NODE, blocks(PAGE, "javascript")[0]),
}


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """A server with the settings of the page, and a key that may publish."""
    settings = settings_for(
        tmp_path,
        public_url="https://pictures.example",
        publish_topics=("room:*", "inbox:*"),
        listen_topics=("room:*", "inbox:{owner}"),
        **auth_settings(tmp_path),
    )
    await store_keys(settings.database_path, more={"php": frozenset({Scope.PUBLISH})})
    async with open_app(settings) as app, serving(app) as served:
        yield served


async def output_of(command: tuple[str, ...], url: str, **more: str) -> str:
    """What an example prints."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "SERVER": url, "KEY": PUBLISHER.credential, **more},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(patient(20.0)):
        out, _ = await process.communicate()
    return out.decode()


async def test_phoenix_js_hears_every_example(run: Run, url: str) -> None:
    """curl, PHP (if it is installed) and Node publish; the client gets the events in order."""
    token = by_jwt("ada").credential
    listener = await run("listen.mjs", url, str(HERE), "phoenix", token, "room:lobby", "new_msg")
    assert await listener.next() == ["joined", None]

    for name, (command, code) in COMMANDS.items():
        if shutil.which(command[0]) is None:
            continue
        printed = await output_of((*command, code), url)
        texts = ["hello", "from", "Node"] if name == "Node" else [f"hello from {name}"]
        assert "published" in printed
        for text in texts:
            assert await listener.next() == ["heard", {"body": text}]


async def test_an_inbox_is_its_owners(run: Run, url: str) -> None:
    """Bob cannot join Ada's."""
    token = by_jwt("bob").credential
    listener = await run("listen.mjs", url, str(HERE), "phoenix", token, "inbox:ada", "new_msg")

    assert await listener.next() == ["refused", {"reason": "forbidden"}]


async def test_the_streams_of_the_examples_end_with_the_result(node: str, url: str) -> None:
    """curl prints the events, and Node their names."""
    assert node
    ada = by_jwt("ada")
    body = {"input_data": {"type": "image", "prompt": "Medieval monk"}}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/api/tasks", json=body, headers=ada.headers) as answer,
    ):
        task_id = (await answer.json())["task_id"]
    more = {"KEY": ada.credential, "TASK_ID": task_id}

    by_curl, by_node = await asyncio.gather(
        output_of((*CURL, blocks(PAGE, "bash")[1]), url, **more),
        output_of((*NODE, blocks(PAGE, "javascript")[3]), url, **more),
    )

    assert by_curl.startswith("retry: ")
    assert '"status":"completed"' in by_curl.splitlines()[-2]
    assert by_node.splitlines()[-1] == "result 1"
