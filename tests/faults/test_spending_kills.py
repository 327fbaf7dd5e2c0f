"""10 000 orders by 50 clients at once, with a cap of one US dollar, while the server is killed."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.faults.server_process import ServerProcess
from tests.patience import patient

POSTERS = 50
PRICE = 20_000
"""Of the default model, in micro-dollars."""
CAP = 1_000_000
_ORDER = {"input_data": {"type": "image", "prompt": "Medieval monk"}}
_TIMEOUT = aiohttp.ClientTimeout(total=30.0)
_RETRY_S = 0.02


class Posters:
    """Many clients that post orders at once, until so many were answered.

    Attributes:
        answers: how many answers had which status; 0 counts posts without an answer.
    """

    def __init__(self, http: aiohttp.ClientSession, url: str, orders: int) -> None:
        self.answers: Counter[int] = Counter()
        self._http = http
        self._url = f"{url}/api/tasks"
        self._left = orders
        self._awaited = 0
        self._reached = asyncio.Event()

    async def run(self) -> None:
        """Post all orders; one without an answer is replaced by another."""
        await asyncio.gather(*(self._post() for _ in range(POSTERS)))

    async def answered(self, orders: int) -> None:
        """Wait until so many orders were answered."""
        self._awaited = orders
        self._reached.clear()
        async with asyncio.timeout(patient(30.0)):
            await self._reached.wait()

    async def _post(self) -> None:
        while self._left > 0:
            self._left -= 1
            try:
                async with self._http.post(self._url, json=_ORDER) as answer:
                    await answer.read()
                    self.answers[answer.status] += 1
                if self.answers.total() - self.answers[0] >= self._awaited:
                    self._reached.set()
            except (aiohttp.ClientError, OSError, TimeoutError):
                self._left += 1
                self.answers[0] += 1
                await asyncio.sleep(_RETRY_S)


async def all_ended(http: aiohttp.ClientSession, url: str) -> None:
    """Wait until no task is under way."""
    async with asyncio.timeout(patient(60.0)):
        while True:
            async with http.get(f"{url}/api/tasks?status=processing&limit=1") as answer:
                if (await answer.json())["tasks"] == []:
                    return
            await asyncio.sleep(0.1)


def stored(folder: Path) -> tuple[list[sqlite3.Row], dict[str, tuple[int, int]]]:
    """The tasks, and the sums of everybody and of the one owner, by subject; blocking."""
    with closing(sqlite3.connect(folder / "tasks.sqlite3")) as connection:
        connection.row_factory = sqlite3.Row
        tasks = connection.execute("SELECT * FROM tasks").fetchall()
        rows = connection.execute("SELECT * FROM spending WHERE length(period) = 7")
        sums = {row["subject"]: (row["tasks"], row["microdollars"]) for row in rows}
    return tasks, sums


def predictions(folder: Path) -> int:
    """How many predictions the emulator has made and billed; blocking."""
    lines = (folder / "emulator.jsonl").read_text(encoding="utf-8").splitlines()
    created: set[str] = set()
    for line in lines:
        try:
            entry: dict[str, Any] = json.loads(line)
        except ValueError:
            continue  # the last line of a process that was killed
        if "created" in entry:
            created.add(entry["created"]["id"])
    return len(created)


@pytest.fixture
def server(tmp_path: Path) -> ServerProcess:
    """A server that is not started, with a cap of one US dollar a month for each owner."""
    now = datetime.now(UTC)
    if (now + timedelta(seconds=patient(60.0))).month != now.month:
        pytest.skip("the month ends during this test, and the next one has a dollar of its own")
    changes = {
        "PHOENIX_COMPAT_OWNER_USD_PER_MONTH": "1",
        "PHOENIX_COMPAT_EMULATOR_SPEED": "50",
        "PHOENIX_COMPAT_LOG_LEVEL": "warning",
    }
    return ServerProcess(tmp_path, changes)


async def test_a_dollar_buys_fifty_pictures_and_not_one_more(server: ServerProcess) -> None:
    """Of 10 000 orders, exactly 50 are accepted, and all others are refused with 402."""
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as http:
        await server.start()
        try:
            await server.ready(http)
            posters = Posters(http, server.url, 10_000)
            await posters.run()
            await all_ended(http, server.url)
            await server.stop()
        finally:
            await server.kill()

    tasks, sums = await asyncio.to_thread(stored, server.folder)
    assert posters.answers == {202: 50, 402: 9_950}
    assert [task["status"] for task in tasks] == ["completed"] * 50
    assert sums == {"all": (50, CAP), "owner:": (50, CAP)}


async def test_the_cap_holds_when_the_server_is_killed(server: ServerProcess) -> None:
    """After three kills among the orders, what is counted is what the tasks say, is at most a
    dollar, and is no less than what the provider has billed; also while tasks are under way."""
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as http:
        posters = Posters(http, server.url, 1_000)
        await server.start()
        try:
            await server.ready(http)
            posting = asyncio.create_task(posters.run())
            for orders in (5, 100, 300):
                await posters.answered(orders)
                await server.kill()
                await server.start()
                await server.ready(http)
            await posting
            await server.stop()
        finally:
            await server.kill()

    tasks, sums = await asyncio.to_thread(stored, server.folder)
    reserved = sum(task["reserved_microdollars"] for task in tasks)
    billed = await asyncio.to_thread(predictions, server.folder)
    assert sums == {"all": (len(tasks), reserved), "owner:": (len(tasks), reserved)}
    assert posters.answers[202] <= len(tasks) <= 50
    assert posters.answers[402] > 0
    assert 0 < billed * PRICE <= reserved <= CAP
    assert server.logged_errors() == []
