"""SwiftPhoenixClient from 0.9 to 5.3 on three nodes behind nginx, of which two are killed."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.integration.nodes.node_processes import node_set
from tests.interop.swift.client import SwiftApp
from tests.interop.swift.test_swift_versions import all_of, running
from tests.interop.swift.versions import VERSIONS

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


_TAKEOVER_S = 60.0


async def test_every_version_ends_with_its_picture(tmp_path: Path, postgres_url: str) -> None:
    """Each app rejoins at another node, and gets the picture of its task."""
    async with node_set(tmp_path, postgres_url, speed=1.0) as nodes:
        posted = [
            await nodes.post(nodes.nodes[number % 3].url) for number, _ in enumerate(VERSIONS)
        ]
        apps = {
            version.name: SwiftApp(version, nodes.url, f"task:{task_id}", params={})
            for version, task_id in zip(VERSIONS, posted, strict=True)
        }

        async with running(apps):
            await all_of(apps, "until", lambda app: app.joins)
            for node in nodes.nodes[:2]:
                await node.end(signal.SIGKILL)
                await node.start()
            await all_of(apps, "until", lambda app: app.end, _TAKEOVER_S)
            await all_of(apps, "leave")

        for name, app in apps.items():
            steps = [payload["progress"] for payload in app.progress]
            assert steps == sorted(steps), name
            assert (app.dropped, app.refusals) == ([], []), name
            assert app.end is not None
            assert app.end["status"] == "completed", name
            assert "image_url" in app.end["result_data"], name
        assert await nodes.creates() == len(posted)
