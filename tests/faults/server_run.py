"""One server with its provider and its client: posting, starting again, and settling at last."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from phoenix_compat.emulator import EmulatorSettings
from phoenix_compat.emulator.predictions.prediction import Prediction
from tests.faults.app_client import TERMINAL, Phone
from tests.faults.victim import HarnessError, Victim
from tests.faults.watcher import Lookout, Trap, watched_emulator
from tests.patience import patient

PATIENCE_S = 20.0
"""A step that is not reached in this time is given up; the server is killed all the same."""

_SPEED = 4.0
_LOOK_S = 0.01
_CONCURRENCY = 50
_PAGE = 200
_TIMEOUT = aiohttp.ClientTimeout(total=30.0)
_PLENTY = 1_000_000

# What else may go wrong with an order while the server is killed; see the emulator's README.
_TROUBLES = (
    *("", "", ""),
    *("reset_afterx1", "reset_afterx1 list_lag", "502_afterx1", "hang_afterx1", "truncatedx1"),
    *("slow_answerx1", "429x1", "poll_500x1", "poll_resetx2", "E005", "PAx1", "output_two"),
)
_TRANSIENT = "#fault:PA"
_TWIN_CHANCE = 0.15


@dataclass(slots=True)
class Order:
    """A POST of ours.

    Attributes:
        key: its Idempotency-Key, the same when it is sent again.
        task_id: from the 202; None until there was one.
    """

    prompt: str
    key: str
    task_id: str | None = None


class Lane:
    """A data directory's whole life. Everything random comes from `dice`.

    Attributes:
        orders: every order ever sent.
        has_archive: this version keeps copies of the pictures.
        has_keys: this version knows Idempotency-Key.
    """

    def __init__(
        self,
        lookout: Lookout,
        victim: Victim,
        http: aiohttp.ClientSession,
        dice: random.Random,
        *,
        is_crowded: bool,
    ) -> None:
        self.lookout = lookout
        self.victim = victim
        self.dice = dice
        self.phone = Phone(http, victim.url)
        self.orders: list[Order] = []
        self.has_archive = False
        self.has_keys = False
        self._http = http
        self._is_crowded = is_crowded
        self._prompts: dict[str, str] = {}

    @property
    def promised(self) -> dict[str, Order]:
        """The orders that were answered 202, by task id."""
        return {order.task_id: order for order in self.orders if order.task_id is not None}

    @property
    def prompts(self) -> dict[str, str]:
        """The prompt of every task the server has shown, promised or not, by its id."""
        return self._prompts

    @asynccontextmanager
    async def another_phone(self) -> AsyncIterator[Phone]:
        """A client that was never there before, connected while the block lasts."""
        async with _calling(Phone(self._http, self.victim.url)) as phone:
            yield phone

    async def begin(self) -> None:
        """Start the server for the first time and find out what this version can do."""
        await self.revive()
        order = await self.post()
        assert order.task_id is not None
        again = Order(order.prompt, order.key)
        self.orders.append(again)
        await self.send(again)
        self.has_keys = again.task_id == order.task_id
        if not await self._until(self._are_all_ended):
            raise HarnessError("the first order did not end")
        self.has_archive = self.lookout.state.counts["downloads"] > 0

    async def revive(self) -> None:
        """Start the server; once it answers, send again what got no answer."""
        await self.victim.start()
        await self.victim.ready(self._http)
        if self.has_keys:
            for order in self.orders:
                if order.task_id is None:
                    await self.send(order)

    async def post(self, *faults: str) -> Order:
        """Order a picture of our own, with these faults of the emulator."""
        marks = "".join(f" #fault:{fault}" for fault in faults)
        order = Order(f"monk {uuid.UUID(int=self.dice.getrandbits(128))}{marks}", self._key())
        self.orders.append(order)
        await self.send(order)
        return order

    async def post_others(self) -> None:
        """One to three more orders at once, each with a trouble of its own or none; or twins."""
        if not self._is_crowded:
            return
        for _ in range(self.dice.randint(1, 3)):
            order = await self.post(*self.dice.choice(_TROUBLES).split())
            if self.dice.random() < _TWIN_CHANCE:
                twin = Order(order.prompt, self._key())
                self.orders.append(twin)
                await self.send(twin)

    async def send(self, order: Order) -> None:
        """Send an order; a 202 is a promise from here on. Without an answer nothing is known.

        Raises:
            HarnessError: another answer than 202.
        """
        body = {"input_data": {"type": "image", "prompt": order.prompt}}
        headers = {"Idempotency-Key": order.key}
        try:
            async with self._http.post(self._url(), json=body, headers=headers) as answer:
                document = await answer.json()
        except (aiohttp.ClientError, OSError):
            return
        if answer.status != 202:
            raise HarnessError(f"an order was answered {answer.status}: {document}")
        order.task_id = document["task_id"]
        await self.phone.watch(document["task_id"])

    async def document(self, task_id: str) -> dict[str, Any]:
        """GET of one task; empty when there is none of this id."""
        async with self._http.get(self._url(task_id)) as answer:
            return dict(await answer.json()) if answer.status == 200 else {}

    async def documents(self) -> list[dict[str, Any]]:
        """Every task there is, promised or not, newest first."""
        found: list[dict[str, Any]] = []
        query = {"limit": str(_PAGE)}
        while True:
            async with self._http.get(self._url(), params=query) as answer:
                page = await answer.json()
            found += page["tasks"]
            for task in page["tasks"]:
                self._prompts[task["task_id"]] = task["input_data"]["prompt"]
            if "next_cursor" not in page:
                return found
            query["cursor"] = page["next_cursor"]

    async def until_state(self, order: Order, state: str) -> bool:
        """Wait until a task is in this state; whether it came to that."""
        return await self._until(lambda: self._is_in(order, state))

    async def caught(self, trap: Trap) -> bool:
        """Wait for a trap; whether it sprang.

        Raises:
            HarnessError: the server ended by itself.
        """
        try:
            async with asyncio.timeout(patient(PATIENCE_S)):
                await trap.sprung.wait()
        except TimeoutError:
            self.victim.check_alive()
            return False
        return True

    async def settled(self) -> None:
        """Wait until every task has ended and our client has heard so."""
        for task in await self.documents():
            await self.phone.watch(task["task_id"])  # Some were stored and never promised.
        await self.phone.all_ended()

    def billed(self) -> Counter[str]:
        """How many predictions were made, by prompt."""
        return Counter(prediction.prompt for prediction in self.lookout.state.predictions)

    def unused(self, taken: Collection[str | None]) -> list[Prediction]:
        """The predictions that no task has, but for those that failed and were rightly repeated."""
        return [
            prediction
            for prediction in self.lookout.state.predictions
            if prediction.id not in taken and _TRANSIENT not in prediction.prompt
        ]

    async def _are_all_ended(self) -> bool:
        return all(task["status"] in TERMINAL for task in await self.documents())

    async def _is_in(self, order: Order, state: str) -> bool:
        return order.task_id is not None and (await self.document(order.task_id))["state"] == state

    async def _until(self, is_so: Callable[[], Coroutine[Any, Any, bool]]) -> bool:
        try:
            async with asyncio.timeout(patient(PATIENCE_S)):
                while not await is_so():
                    self.victim.check_alive()
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            return False
        return True

    def _key(self) -> str:
        return f"key-{self.dice.getrandbits(64):016x}"

    def _url(self, task_id: str | None = None) -> str:
        return f"{self.victim.url}/api/tasks" + ("" if task_id is None else f"/{task_id}")


@asynccontextmanager
async def open_lane(folder: Path, seed: str, *, is_crowded: bool) -> AsyncIterator[Lane]:
    """A lane with its emulator; its server is dead when the block ends.

    Args:
        is_crowded: other orders, with troubles of their own, go beside the one that counts.
    """
    dice = random.Random(seed)  # noqa: S311 - when to kill, no secrets
    settings = EmulatorSettings(
        speed=_SPEED,
        seed=dice.getrandbits(32),
        creates_per_minute=_PLENTY,
        requests_per_minute=_PLENTY,
        max_predictions=_PLENTY,
    )
    async with (
        watched_emulator(settings) as lookout,
        aiohttp.ClientSession(timeout=_TIMEOUT) as http,
    ):
        victim = Victim(
            folder,
            {
                "REPLICATE_API_TOKEN": "r8_kills",
                "REPLICATE_BASE_URL": f"{lookout.origin}/v1",
                "PHOENIX_COMPAT_CONCURRENCY": str(_CONCURRENCY),
                "PHOENIX_COMPAT_FILE_HOSTS": json.dumps([lookout.origin]),
            },
        )
        lane = Lane(lookout, victim, http, dice, is_crowded=is_crowded)
        async with _calling(lane.phone):
            try:
                yield lane
            finally:
                await victim.kill()


@asynccontextmanager
async def _calling(phone: Phone) -> AsyncIterator[Phone]:
    calls = asyncio.create_task(phone.run(), name="phone")
    try:
        yield phone
    finally:
        calls.cancel()
        await asyncio.gather(calls, return_exceptions=True)
