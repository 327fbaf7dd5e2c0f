"""phoenix.js watches tasks on three nodes behind nginx, of which one restarts and one crashes."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.integration.nodes.node_processes import node_set
from tests.interop.test_phoenix_js import Run, node, run
from tests.patience import patient

__all__ = ["node", "run"]

pytestmark = [pytest.mark.node, pytest.mark.long, pytest.mark.timeout(300)]


@pytest.mark.parametrize("transport", ["websocket", "longpoll"])
async def test_phoenix_js_ends_with_every_picture(
    transport: str, run: Run, tmp_path: Path, postgres_url: str
) -> None:
    """Without sticky sessions; a long-poll session whose node has gone is begun anew."""
    async with node_set(tmp_path, postgres_url, speed=3.0) as nodes:
        posted = [await nodes.post(nodes.nodes[number % 3].url) for number in range(6)]
        script = await run("watch.mjs", nodes.url, transport, *posted)
        await script.wait_for("joined")

        assert await nodes.nodes[0].end() == 0
        await nodes.nodes[0].start()
        await nodes.nodes[1].end(signal.SIGKILL)

        async with asyncio.timeout(patient(90.0)):
            ended: list[Any] = []
            while len(ended) < len(posted):
                ended.append((await script.wait_for("ended", patient(80.0)))[-1][1])
        assert sorted(ended) == sorted([task_id, "completed", True] for task_id in posted)
        assert await nodes.creates() == len(posted)
