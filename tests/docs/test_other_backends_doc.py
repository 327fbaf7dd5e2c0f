"""The receivers of docs/other-backends.md take what the server sends."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web

from tests.docs.pages import blocks, page
from tests.integration.outgoing.receiver import SECRET
from tests.integration.task_server import product, settings_for
from tests.patience import patient
from tests.serving import serving

PAGE: Final = page("other-backends.md")
RECEIVER: Final = next(block for block in blocks(PAGE, "python") if "standardwebhooks" in block)
NODE_RECEIVER: Final = next(
    block for block in blocks(PAGE, "javascript") if "standardwebhooks" in block
)


async def test_the_receiver_in_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the event of a task, and refuses what is not signed."""
    assert SECRET in RECEIVER
    names: dict[str, Any] = {}
    exec(RECEIVER, names)  # noqa: S102 - our own page
    app: web.Application = names["app"]
    async with serving(app) as url:
        hook = {"url": f"{url}/hooks/tasks", "secret": SECRET, "allow_private": True}
        async with product(settings_for(tmp_path, on_task_webhooks=(hook,))) as client:
            task_id = await client.post()
            printed = ""
            async with asyncio.timeout(patient(20.0)):
                while "evt_" not in printed:
                    await asyncio.sleep(0.02)
                    printed += capsys.readouterr().out

    [line] = [one for one in printed.splitlines() if one.startswith("evt_")]
    assert line.split()[1:] == ["task.completed", task_id]


async def test_the_receiver_in_node_is_valid(tmp_path: Path) -> None:
    """Node parses it; the package that it imports is not among those of the tests."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is missing")
    script = tmp_path / "receiver.mjs"
    script.write_text(NODE_RECEIVER)

    process = await asyncio.create_subprocess_exec(node, "--check", str(script))

    assert await process.wait() == 0
