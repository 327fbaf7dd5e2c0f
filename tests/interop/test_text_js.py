"""phoenix.js shows a text while it is written, with the few lines of docs/tasks.md."""

from __future__ import annotations

import hashlib
from pathlib import Path

import aiohttp
import pytest

from phoenix_compat.emulator import Emulator, EmulatorSettings
from tests.faults.server_process import ServerProcess
from tests.integration.outputs.test_text_processes import TEXT_TASK, created, move
from tests.interop.test_phoenix_js import HERE, Run, node, run
from tests.interop.whole_job import TRANSPORTS

__all__ = ["node", "run"]  # fixtures

pytestmark = pytest.mark.node

RECONNECT_S = 60.0


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_phoenix_js_shows_a_text(run: Run, tmp_path: Path, transport: str) -> None:
    """It joins in the middle, loses the server, rejoins by itself, and has exactly the text."""
    async with (
        Emulator(EmulatorSettings(speed=1.0)) as emulator,
        aiohttp.ClientSession() as http,
    ):
        emulator.state.clock.scale(0.0)
        environment = {"REPLICATE_API_TOKEN": "r8_test", "REPLICATE_BASE_URL": emulator.base_url}
        server = ServerProcess(tmp_path, environment)
        await server.start()
        await server.ready(http)
        try:
            async with http.post(f"{server.url}/api/tasks", json=TEXT_TASK) as answer:
                task_id = (await answer.json())["task_id"]
            whole = await created(emulator)
            move(emulator, 0.3)
            script = await run("text.mjs", server.url, str(HERE), "phoenix", transport, task_id)
            events = await script.wait_for("output")
            move(emulator, 0.5)
            events += await script.wait_for("output")

            await server.kill()
            events += await script.wait_for("close", RECONNECT_S)
            await server.start()
            await server.ready(http)
            events += await script.wait_for("joined", RECONNECT_S)
            move(emulator, 1.1)
            events += await script.wait_for("end", RECONNECT_S)
        finally:
            await server.kill()

        digest = hashlib.sha256(whole.encode()).hexdigest()
        assert events[-1] == ["end", [digest, digest]]
        assert "hole" not in {event for event, _ in events}
