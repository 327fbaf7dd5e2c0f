"""Two owners with keys: the cap and the queue of one do not concern the other."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from tests.faults.server_process import ServerProcess
from tests.faults.test_spending_kills import CAP, PRICE, Posters, all_ended, stored
from tests.integration.ownership.credentials import by_key, store_keys

ORDERS = 10_000
ADA, BOB = by_key("key:ada"), by_key("key:bob")
_TIMEOUT = aiohttp.ClientTimeout(total=30.0)


@pytest.fixture
async def server(tmp_path: Path) -> ServerProcess:
    """A server that is not started, for API keys, with a cap of one US dollar for each owner."""
    server = ServerProcess(
        tmp_path,
        {
            "PHOENIX_COMPAT_AUTH": '["keys"]',
            "PHOENIX_COMPAT_OWNER_USD_PER_MONTH": "1",
            "PHOENIX_COMPAT_CONCURRENCY": "1",
            "PHOENIX_COMPAT_EMULATOR_SPEED": "50",
            "PHOENIX_COMPAT_LOG_LEVEL": "warning",
        },
    )
    await asyncio.to_thread(server.folder.mkdir)
    await store_keys(server.folder / "tasks.sqlite3", "ada", "bob")
    return server


def created_prompts(folder: Path) -> list[str]:
    """The prompts of the predictions, in the order in which the emulator created them; blocking."""
    lines = (folder / "emulator.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    return [entry["created"]["input"]["prompt"] for entry in entries if "created" in entry]


@pytest.mark.long
async def test_one_owners_cap_does_not_concern_another(server: ServerProcess) -> None:
    """Of 10 000 orders by 50 clients of one owner exactly 50 are accepted; ten orders of another
    one, between them, all are, and the first of them is the next but one that starts."""
    async with (
        aiohttp.ClientSession(timeout=_TIMEOUT, headers=ADA.headers) as of_ada,
        aiohttp.ClientSession(timeout=_TIMEOUT, headers=BOB.headers) as of_bob,
    ):
        await server.start()
        try:
            await server.ready(of_ada)
            posters = Posters(of_ada, server.url, ORDERS)
            posting = asyncio.create_task(posters.run())
            await posters.answered(100)
            statuses, before = [], 0
            for number in range(10):
                body = {"input_data": {"type": "image", "prompt": f"bob {number}"}}
                async with of_bob.post(f"{server.url}/api/tasks", json=body) as answer:
                    statuses.append(answer.status)
                if number == 0:
                    before = len(await asyncio.to_thread(created_prompts, server.folder))
            await posting
            for http in (of_ada, of_bob):
                await all_ended(http, server.url)
            await server.stop()
        finally:
            await server.kill()

    tasks, sums = await asyncio.to_thread(stored, server.folder)
    prompts = await asyncio.to_thread(created_prompts, server.folder)
    assert posters.answers == {202: 50, 402: ORDERS - 50}
    assert statuses == [202] * 10
    assert [task["status"] for task in tasks] == ["completed"] * 60
    assert sums == {
        "all": (60, CAP + 10 * PRICE),
        "owner:key:ada": (50, CAP),
        "owner:key:bob": (10, 10 * PRICE),
    }
    assert before < 40, "Ada's tasks were over before Bob's came; make the emulator slower"
    assert prompts.index("bob 0") <= before + 1
