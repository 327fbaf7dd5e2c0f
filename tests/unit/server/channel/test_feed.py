"""What the feed remembers: the newest state of each task, without inputs, in limited memory."""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec
import pytest

from phoenix_compat import Endpoint
from phoenix_compat.server.channel.feed import FeedCounts, TaskFeed
from phoenix_compat.tasks.model.task import Task, TaskId, TaskStatus
from tests.unit.tasks.sample_tasks import make_task


class RecordingStore:
    """A store without tasks that records what is read."""

    def __init__(self) -> None:
        self.reads: list[tuple[str, str | None, bool]] = []

    async def get(
        self, task_id: str, *, owner: str | None = None, with_inputs: bool = True
    ) -> Task | None:
        """See TaskStore."""
        self.reads.append((task_id, owner, with_inputs))
        return None


def feed_of(store: Any, **limits: Any) -> TaskFeed:
    """A feed without clients."""
    return TaskFeed(store, Endpoint(), **limits)


def named(task_id: str, owner: str = "", **result: object) -> Task:
    """A task with this id; one with a result has completed."""
    task = make_task(TaskStatus.COMPLETED if result else TaskStatus.RUNNING)
    return msgspec.structs.replace(
        task, id=TaskId(task_id), owner=owner, result_data=dict(result) or None
    )


async def test_a_remembered_task_has_no_inputs() -> None:
    """They may be long, and no client gets them."""
    feed = feed_of(RecordingStore())
    task = msgspec.structs.replace(named("t-1"), input_data={"prompt": "x" * 100_000})

    feed.announce(task)

    assert await feed.read("t-1") == task.without_inputs()
    assert feed.newest(task).input_data == {}
    assert feed.counts.remembered_bytes < 5_000


async def test_each_client_is_shown_the_newest_state_with_its_own_links() -> None:
    """What was made for one client is shown to the next only if both use one address, and only
    until the task changes."""
    feed = feed_of(RecordingStore())
    files = ({"path": "ab/cd.png", "source_url": "https://model.example/x.png"},)
    running = named("t-1")
    done = msgspec.structs.replace(
        named("t-1", image_url="https://model.example/x.png"), files=files
    )

    feed.announce(running)
    before = feed.payload(running, "http://a")
    feed.announce(done)
    shown = [feed.payload(running, url) for url in ("http://a", "http://b", "http://a", "http://a")]

    assert before["status"] == "processing"
    assert [one["result_data"]["image_url"] for one in shown] == [
        "http://a/files/cd.png",
        "http://b/files/cd.png",
        "http://a/files/cd.png",
        "http://a/files/cd.png",
    ]
    assert shown[3] is shown[2]


async def test_another_owners_task_is_looked_up_like_a_missing_one() -> None:
    """Otherwise the missing look-up would tell that there is such a task."""
    store = RecordingStore()
    feed = feed_of(store)
    feed.announce(named("t-1", owner="ada"))

    assert await feed.read("t-1", "bob") is None
    assert await feed.read("t-2", "bob") is None
    assert store.reads == [("t-1", "bob", False), ("t-2", "bob", False)]
    for owner in ("ada", None):
        assert (await feed.read("t-1", owner)) is not None
    assert len(store.reads) == 2


async def test_too_many_tasks_are_forgotten_oldest_first() -> None:
    """A task that has changed again counts as new; the counts say how many were forgotten."""
    store = RecordingStore()
    feed = feed_of(store, max_remembered=3)

    for task_id in ("a", "b", "c", "a", "d", "e"):
        feed.announce(named(task_id))

    for task_id in "abcde":
        await feed.read(task_id)
    assert [task_id for task_id, *_ in store.reads] == ["b", "c"]
    assert (feed.counts.remembered, feed.counts.forgotten) == (3, 2)


async def test_large_results_are_forgotten_first() -> None:
    """The memory stays below its limit, whatever the results; even one that is too large alone."""
    store = RecordingStore()
    feed = feed_of(store, max_remembered_bytes=1_000_000)

    for number in range(20):
        feed.announce(named(f"t-{number}", text="x" * 300_000))
    newest = feed.counts.remembered
    feed.announce(named("large", text="x" * 2_000_000))

    assert newest == 3
    assert feed.counts == FeedCounts(remembered=0, remembered_bytes=0, forgotten=21)
    feed.announce(named("small"))
    assert feed.counts.remembered == 1


@pytest.mark.parametrize(
    "result",
    [
        {"text": "x" * 10_000},
        {"list": [{} for _ in range(5_000)]},
        {"list": [[] for _ in range(5_000)]},
        {"list": [float(number) for number in range(5_000)]},
        {"list": [{"a": str(number)} for number in range(5_000)]},
        {str(number): number for number in range(5_000)},
    ],
    ids=["text", "objects", "lists", "numbers", "pairs", "keys"],
)
def test_the_estimate_is_not_below_the_memory(result: dict[str, Any]) -> None:
    """For any shape of result, and not many times above it."""
    feed = feed_of(RecordingStore())
    parsed = json.loads(json.dumps(result))

    feed.announce(named("t-1", **parsed))

    assert size_of(parsed) <= feed.counts.remembered_bytes <= size_of(parsed) * 5 + 10_000


def size_of(value: Any) -> int:
    """The memory of JSON in CPython."""
    size_bytes = sys.getsizeof(value)
    if isinstance(value, dict):
        size_bytes += sum(size_of(key) + size_of(inner) for key, inner in value.items())
    elif isinstance(value, list):
        size_bytes += sum(map(size_of, value))
    return size_bytes
