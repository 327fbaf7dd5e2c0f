"""Random operations give the same on both engines: tasks, turns, pages, sums and errors."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from phoenix_compat.errors import TaskError
from phoenix_compat.tasks.model.caps import Caps, Limits
from phoenix_compat.tasks.model.task import LEGAL_MOVES, Task, TaskId, TaskStatus
from phoenix_compat.tasks.store import new_task
from phoenix_compat.tasks.store.spending import ALL, subject_of
from phoenix_compat.tasks.store.statements.filtered_queries import TaskFilter
from phoenix_compat.tasks.store.task_store import IdempotencyKey, TaskStore
from tests.integration.store_contract.engines import postgres_engine, sqlite_engine
from tests.integration.worker.fake_provider import FakeClock
from tests.integration.worker.worker_harness import task_params

OWNERS: Final = (
    "",
    "a",
    "B",
    "b",
    "ä",
    "o'neil",
    'x"; DROP TABLE tasks; --',
    ":id $1 ?",
    "a b",
    "😀",
)
PROMPTS: Final = ("a Cat", "A cAT %", "50_50", "back\\slash", "☃", "É", "é", "[1, 2]")
STEPS: Final = int(os.environ.get("PHOENIX_COMPAT_STEPS", "120"))

Call = Callable[[TaskStore], Awaitable[Any]]
Step = Callable[[Any], Awaitable[None]]


class Pair:
    """A store of each engine. Every call goes to both, and their answers must be the same."""

    def __init__(self, stores: tuple[TaskStore, TaskStore], patch: pytest.MonkeyPatch) -> None:
        self._stores = stores
        self._patch = patch
        self._ids = itertools.count()

    async def __call__(self, call: Call, what: str) -> Any:
        number = next(self._ids)
        answers = []
        for store in self._stores:
            ids = itertools.count()
            self._patch.setattr(
                new_task,
                "_new_task_id",
                lambda _now, ids=ids: TaskId(f"task-{number:04}-{next(ids)}"),
            )
            try:
                answers.append(await call(store))
            except TaskError as error:
                answers.append((type(error), str(error)))
        assert answers[0] == answers[1], what
        return answers[0]


@pytest.fixture
async def pair(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> AsyncIterator[Pair]:
    """Both stores, with the same clock and caps."""
    engines = (sqlite_engine(tmp_path), postgres_engine(postgres_url))
    stores = (await engines[0].open_store(clock), await engines[1].open_store(clock))
    for store in stores:
        store.budget.set_caps(
            Caps(owner_per_day=Limits(tasks=12), total_per_month=Limits(microdollars=900_000))
        )
    async with stores[0], stores[1]:
        yield Pair(stores, monkeypatch)


class Player:
    """Chooses what happens next, and knows the tasks."""

    def __init__(self, pair: Pair, clock: FakeClock, seed: int) -> None:
        self._pair = pair
        self._clock = clock
        self._random = random.Random(seed)  # noqa: S311 - a test that can be repeated
        self._tasks: dict[str, Task] = {}

    async def step(self) -> None:
        """One change, and one question."""
        self._clock.elapsed_s += self._random.choice((0.0, 0.0, 0.001, 1.0, 3_600.0))
        await self._random.choice(self._CHANGES)(self)
        await self._random.choice(self._QUESTIONS)(self)

    async def _ask(self, call: Call, what: str) -> Any:
        return await self._pair(call, what)

    def _keep(self, answer: object) -> None:
        if isinstance(answer, Task):
            self._tasks[answer.id] = answer

    def _task(self) -> Task | None:
        return self._random.choice(list(self._tasks.values())) if self._tasks else None

    def _owner(self) -> str:
        return self._random.choice(OWNERS)

    # Changes.

    async def add(self) -> None:
        owner, prompt = self._owner(), self._random.choice(PROMPTS)
        model = self._random.choice(("google/imagen-4", "you/unpriced"))
        limit = self._random.choice((8, 1_000))
        params = task_params(prompt=prompt, model=model, nul="\0")
        self._keep(
            await self._ask(lambda store: store.add(params, owner=owner, max_queued=limit), "add")
        )

    async def add_once(self) -> None:
        owner, params = self._owner(), task_params(prompt="once")
        key = IdempotencyKey(f"key-{self._random.randrange(3)}", self._random.choice("ff") * 64)
        answer = await self._ask(lambda store: store.add_once(params, key, owner=owner), "add_once")
        self._keep(answer[0])

    async def move(self) -> None:
        task = self._task()
        if task is None:
            return
        legal = sorted(LEGAL_MOVES[task.status] - {TaskStatus.QUEUED})
        if task.status is TaskStatus.SUBMITTING or task.status is TaskStatus.RUNNING:
            legal.append(TaskStatus.QUEUED)
        if not legal:
            return
        to = self._random.choice(legal)
        changes: dict[str, Any] = {}
        if to is TaskStatus.SUBMITTING:
            changes = {"attempts": task.attempts + 1, "submitted_at": self._clock.now()}
        elif to is TaskStatus.RUNNING:
            changes = {"prediction_id": f"p{self._random.randrange(40)}", "progress": 0.1}
        elif to is TaskStatus.COMPLETED:
            changes = {"result_data": {"text": "x" * self._random.randrange(60), "nul": "\0"}}
            changes["files"] = (self._file(),)
        elif to is TaskStatus.FAILED:
            changes = {"error_data": {"code": "é"}, "attempts": max(task.attempts - 1, 0)}
        elif self._random.random() < 0.5:
            wait = timedelta(seconds=self._random.choice((1, 100, 200_000)))
            changes = {"not_before": self._clock.now() + wait, "prediction_id": None}
        self._keep(await self._ask(lambda store: store.move(task, to, **changes), f"move to {to}"))

    def _file(self) -> dict[str, Any]:
        sha256 = self._random.choice("abcdef") * 64
        path = f"{sha256[:2]}/{sha256}.png"
        return {
            "sha256": sha256,
            "bytes": 10,
            "content_type": "image/png",
            "path": path,
            "thumbnail_path": None,
            "source_url": self._random.choice(("https://x", "\0")),
        }

    async def retry(self) -> None:
        task = self._task()
        if task is not None:
            params, owner = (
                task_params(prompt="again"),
                self._random.choice((None, task.owner, "a")),
            )
            self._keep(
                await self._ask(lambda store: store.retry(task.id, params, owner=owner), "retry")
            )

    async def cancel(self) -> None:
        task = self._task()
        if task is not None:
            owner = self._random.choice((None, task.owner, "b"))
            self._keep(
                await self._ask(lambda store: store.request_cancel(task.id, owner=owner), "cancel")
            )

    async def progress(self) -> None:
        task = self._task()
        if task is not None:
            to = round(self._random.random(), 3)
            self._keep(await self._ask(lambda store: store.record_progress(task, to), "progress"))

    async def serve(self) -> None:
        """The store remembers whose task was started last."""
        owner = self._owner()
        for store in self._pair._stores:
            store.served_owner = owner

    async def delete(self) -> None:
        before = self._clock.now() - timedelta(seconds=self._random.choice((0, 3_600, 20_000)))
        limit = self._random.randrange(1, 4)
        ended = await self._ask(lambda store: store.ended_before(before, limit), "ended_before")
        deleted = await self._ask(lambda store: store.delete_ended(ended, before), "delete_ended")
        assert deleted == len(ended)
        self._tasks = {
            id_: task for id_, task in self._tasks.items() if task.number not in set(ended)
        }

    async def adopt(self) -> None:
        if self._random.random() < 0.1:
            await self._ask(lambda store: store.adopt("a"), "adopt")
            for id_, task in list(self._tasks.items()):
                if task.owner == "":
                    self._keep(await self._ask(lambda store: store.get(id_), "adopted"))  # noqa: B023 - called at once

    # Questions.

    async def due(self) -> None:
        limit = self._random.choice((1, 3, 7, 50))
        await self._ask(lambda store: store.due(limit), "due")
        await self._ask(lambda store: store.longest_waiting(limit), "longest_waiting")
        await self._ask(lambda store: store.next_due(), "next_due")

    async def position(self) -> None:
        for task in list(self._tasks.values())[-3:]:
            owner = self._random.choice((None, task.owner))
            await self._ask(lambda store: store.queue_position(task.id, owner=owner), "position")  # noqa: B023 - called at once

    async def pages(self) -> None:
        statuses = self._random.sample(list(TaskStatus), self._random.randrange(1, 6))
        owner, limit = self._random.choice((None, self._owner())), self._random.choice((1, 4, 60))
        before = self._random.choice((2**62, len(self._tasks), 5))
        max_bytes = self._random.choice((1, 90, 300, 10_000))
        await self._ask(
            lambda store: store.list(statuses=statuses, limit=limit, before=before, owner=owner),
            "list",
        )
        only = TaskFilter(
            self._random.choice((None, None, "image", "image_gen", "text")),
            self._random.choice((None, None, "you/unpriced")),
            self._random.choice((None, "cat", "%", "_", "\\", "É", "NUL", "1, 2", "once")),
        )
        for chosen in (TaskFilter(), only):
            await self._ask(
                lambda store: store.page(
                    max_bytes=max_bytes,
                    statuses=statuses,
                    limit=limit,
                    before=before,
                    owner=owner,
                    only=chosen,  # noqa: B023 - called at once
                ),
                f"page {chosen}",
            )

    async def history(self) -> None:
        task = self._task()
        if task is not None:
            after = self._random.randrange(3)
            await self._ask(lambda store: store.events(task.id, after=after), "events")
            await self._ask(lambda store: store.get(task.id, owner=task.owner), "get")
            await self._ask(lambda store: store.get(task.id, with_inputs=False), "summary")

    async def sums(self) -> None:
        day = self._clock.now().date().isoformat()
        for period in (day, day[:7]):
            for subject in (ALL, subject_of(self._owner())):
                await self._ask(lambda store: store.spending(period, subject), "spending")  # noqa: B023 - called at once
        await self._ask(lambda store: store.largest_spending(day, 5), "largest")
        await self._ask(lambda store: store.largest_spending(day, 5, "a"), "largest with a")
        await self._ask(lambda store: store.status_counts(ended_max_age_s=0.0), "counts")

    async def others(self) -> None:
        numbers = [task.number for task in self._tasks.values()]
        hashes = [char * 64 for char in "abcdef"]
        since = self._clock.now() - timedelta(hours=5)
        ids = [f"p{number}" for number in range(40)]
        await self._ask(lambda store: store.prompts(numbers, chars=5), "prompts")
        await self._ask(lambda store: store.newest_number(), "newest_number")
        await self._ask(lambda store: store.oldest_queued_at(), "oldest_queued_at")
        await self._ask(self._ended_since(since), "ended_since")
        await self._ask(lambda store: store.unfinished(), "unfinished")
        await self._ask(lambda store: store.unclaimed_predictions(ids), "unclaimed")
        await self._ask(lambda store: store.output_hashes(hashes, numbers[::2]), "output_hashes")
        for id_ in ids[:4]:
            await self._ask(lambda store: store.by_prediction(id_), "by_prediction")  # noqa: B023 - called at once

    @staticmethod
    def _ended_since(since: Any) -> Call:
        async def call(store: TaskStore) -> Any:
            return sorted(map(repr, await store.ended_since(since)))

        return call

    _CHANGES: Final[Sequence[Step]] = (
        add,
        add,
        add,
        add_once,
        move,
        move,
        move,
        move,
        retry,
        cancel,
        progress,
        serve,
        delete,
        adopt,
    )
    _QUESTIONS: Final[Sequence[Step]] = (due, position, pages, pages, history, sums, others)


@pytest.mark.parametrize("seed", range(2))
async def test_both_engines_answer_alike(pair: Pair, clock: FakeClock, seed: int) -> None:
    """Whatever is done to them, in whatever order; `PHOENIX_COMPAT_STEPS` sets how much."""
    player = Player(pair, clock, seed)
    for _ in range(STEPS):
        await player.step()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 120))
async def test_both_engines_answer_alike_for_long(pair: Pair, clock: FakeClock, seed: int) -> None:
    """The same with more seeds."""
    player = Player(pair, clock, seed)
    for _ in range(STEPS):
        await player.step()
