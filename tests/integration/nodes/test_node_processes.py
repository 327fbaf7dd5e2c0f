"""Three nodes behind nginx: clients end with their pictures while nodes leave and come back."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.faults.app_client import AppClient
from tests.integration.nodes.node_processes import node_set
from tests.patience import patient


async def test_clients_end_with_their_pictures_while_nodes_restart(
    tmp_path: Path, postgres_url: str
) -> None:
    """Tasks go on at another node at once, and each client hears exactly one end of each."""
    async with node_set(tmp_path, postgres_url, speed=6.0) as nodes:
        app = AppClient(nodes.http, nodes.url)
        running = asyncio.create_task(app.run())
        for number in range(6):
            await app.watch(await nodes.post(nodes.nodes[number % 3].url))

        for node in nodes.nodes[:2]:
            assert await node.end() == 0, node.log
            await node.start()

        async with asyncio.timeout(patient(30.0)):
            await app.all_ended()
        running.cancel()
        assert {one.terminal["status"] for one in app.received.values() if one.terminal} == {
            "completed"
        }
        assert not app.violations


@pytest.mark.long
async def test_the_processes_of_a_machine_are_nodes(tmp_path: Path, postgres_url: str) -> None:
    """With --workers each process is a node, and commands reach them by one control socket."""
    async with node_set(tmp_path, postgres_url, "--workers", "2", count=1) as nodes:
        [node] = nodes.nodes
        app = AppClient(nodes.http, node.url)
        running = asyncio.create_task(app.run())
        await app.watch(await nodes.post(node.url))
        listed = await node.command("nodes", "--json")
        assert [one["state"] for one in json.loads(listed.out)["nodes"]] == ["up", "up"]

        created = await node.command("task", "create", "Medieval monk", "--json")

        assert created.code == 0, created
        async with asyncio.timeout(patient(30.0)):
            await app.all_ended()
        running.cancel()
        status = await node.command("status", "--json")
        assert json.loads(status.out)["status"]["processes"] == 2
        assert await node.end() == 0, node.log
