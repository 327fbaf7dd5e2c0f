"""Nodes with one bucket that are killed while photos arrive, are edited and are stored."""

from __future__ import annotations

import asyncio
import random
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from phoenix_compat.tasks.archive.file_stores.s3.bucket import Bucket
from phoenix_compat.tasks.archive.file_stores.s3.keys import key_parts
from phoenix_compat.tasks.archive.file_stores.s3.location import parse_s3_url
from tests.integration.nodes.node_processes import NodeSet, node_set
from tests.integration.task_types.edited import assert_edit_of
from tests.integration.uploads.photo import edit, photo
from tests.patience import patient

SIDE_PX = 512
TASKS = 12
KILLS = 4
ENDED = {"completed", "failed"}


async def sent(nodes: NodeSet, url: str, seed: int) -> str:
    """Send a photo to a node, again if it is away; returns its id."""
    headers = {"Content-Type": "image/jpeg"}
    content = photo(SIDE_PX, seed=seed)
    answer = await asked(nodes, f"{url}/api/files", data=content, headers=headers)
    return str(answer["id"])


async def asked(nodes: NodeSet, url: str, **given: Any) -> Any:
    """Post to a node until it accepts."""
    async with asyncio.timeout(patient(60.0)):
        while True:
            try:
                async with nodes.http.post(url, **given) as answer:
                    if answer.status in {201, 202}:
                        return await answer.json()
            except (aiohttp.ClientError, OSError):
                pass
            await asyncio.sleep(0.2)


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_photo_is_edited_while_nodes_are_killed(
    tmp_path: Path, postgres_url: str, s3_url: str, seed: int
) -> None:
    """Each task ends with its picture, which every node shows; no file is left that no task has."""
    rng = random.Random(seed)  # noqa: S311 - not a secret
    async with node_set(
        tmp_path, postgres_url, speed=4.0, PHOENIX_COMPAT_FILES_URL=s3_url
    ) as nodes:
        urls = [node.url for node in nodes.nodes]

        async def create(number: int) -> tuple[str, int]:
            file = await sent(nodes, rng.choice(urls), number)
            body = edit(file, prompt=f"Paint number {number}")
            headers = {"Idempotency-Key": f"task-{number}"}
            task = await asked(nodes, f"{rng.choice(urls)}/api/tasks", json=body, headers=headers)
            return str(task["task_id"]), number

        creating = [asyncio.create_task(create(number)) for number in range(TASKS)]
        for _ in range(KILLS):
            await asyncio.sleep(rng.uniform(0.2, 2.0))
            node = rng.choice(nodes.nodes)
            await node.end(signal.SIGKILL)
            await node.start()
        tasks = dict(await asyncio.gather(*creating))
        ended: dict[str, Any] = {}
        async with asyncio.timeout(patient(200.0)):
            while len(ended) < TASKS:
                await asyncio.sleep(1.0)
                for task_id in tasks.keys() - ended.keys():
                    found = await nodes.task(task_id, urls[0])
                    if found["status"] in ENDED:
                        ended[task_id] = found

        assert {one["status"] for one in ended.values()} == {"completed"}
        for task_id, number in tasks.items():
            path = "/files/" + ended[task_id]["result_data"]["image_url"].rpartition("/files/")[2]
            shown = []
            for url in urls:
                async with nodes.http.get(url + path) as answer:
                    assert answer.status == 200, (url, path)
                    shown.append(await answer.read())
            assert len(set(shown)) == 1
            original = photo(SIDE_PX, seed=number)
            await asyncio.to_thread(assert_edit_of, original, shown[0])
    objects = [key_parts(one.key) async for one in Bucket(parse_s3_url(s3_url)).list()]
    files = {one.sha256 for one in objects if one is not None and one.is_file}
    assert len(files) == 2 * TASKS
    assert not any(one.is_deleting for one in objects if one is not None)
