"""Background tasks: unexpected ends are noticed, counted, and followed by a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from phoenix_compat import background
from phoenix_compat.background import BackgroundReport, BackgroundState, BackgroundTask, log_failure
from tests.logged import logged_lines
from tests.patience import patient


class Work:
    """Work that ends as the test says; each start is counted."""

    def __init__(self) -> None:
        self.starts = 0
        self.begun = asyncio.Event()
        self._end: asyncio.Future[None]

    async def __call__(self) -> None:
        self.starts += 1
        self._end = asyncio.get_running_loop().create_future()
        self.begun.set()
        await self._end

    async def started(self) -> None:
        """Wait for the next start."""
        async with asyncio.timeout(patient(10.0)):
            await self.begun.wait()
        self.begun.clear()

    def fail(self, error: BaseException) -> None:
        """End with an error."""
        self._end.set_exception(error)

    def finish(self) -> None:
        """Return."""
        self._end.set_result(None)

    def lose(self) -> None:
        """End because something it awaits was cancelled."""
        self._end.cancel()


async def until(condition: Callable[[], bool]) -> None:
    """Run the event loop until a condition holds."""
    async with asyncio.timeout(patient(10.0)):
        while not condition():  # noqa: ASYNC110 - a state, of which no event tells
            await asyncio.sleep(0.001)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
async def task(work: Work, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[BackgroundTask]:
    """A started task with a short first pause."""
    monkeypatch.setattr(background, "FIRST_PAUSE_S", 0.002)
    monkeypatch.setattr(background, "RUNNING_AFTER_S", 0.05)
    task = BackgroundTask("sweeper", work, jitter=lambda: 1.0)
    task.start()
    await work.started()
    yield task
    await task.stop()


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (lambda work: work.fail(RuntimeError("of a user's word")), "ended with RuntimeError"),
        (lambda work: work.finish(), "returned"),
        (lambda work: work.lose(), "ended with CancelledError"),
    ],
    ids=["error", "return", "lost"],
)
async def test_unexpected_ends_are_followed_by_a_restart(
    work: Work, task: BackgroundTask, end: Callable[[Work], None], why: str
) -> None:
    """After an error, a return, or a cancelled await it restarts after a pause."""
    group = BackgroundReport()
    group.watch(lambda: (task,))
    with logged_lines() as logs:
        end(work)
        await until(lambda: not group.is_healthy)
        reported = group.report["sweeper"]
        await work.started()
        is_well_at_once = group.is_healthy
        await until(lambda: group.is_healthy)

    assert reported == {
        "state": "restarting",
        "restarts": 1,
        "reason": f"the task {why} and is being restarted",
    }
    assert not is_well_at_once
    assert work.starts == 2
    assert group.report == {"sweeper": {"state": "running", "restarts": 1}}
    assert [(line["event"], line["task"]) for line in logs] == [("background.ended", "sweeper")]


async def test_what_is_stopped_stays_stopped(work: Work, task: BackgroundTask) -> None:
    """A stop, also during a pause, is not followed by a start, and nothing is logged."""
    work.fail(RuntimeError())
    await until(lambda: task.state is BackgroundState.RESTARTING)
    with logged_lines() as logs:
        await task.stop()

    assert task.state is BackgroundState.STOPPED
    assert (work.starts, logs) == (1, [])
    task.start()
    await work.started()
    assert task.is_running


async def test_pauses_double_up_to_a_limit(
    work: Work, task: BackgroundTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each pause is twice the last one, up to the limit; a long run resets it."""
    monkeypatch.setattr(background, "LAST_PAUSE_S", 0.006)
    with logged_lines() as logs:
        for _ in range(3):
            work.fail(RuntimeError())
            await work.started()
        monkeypatch.setattr(background, "RECOVERED_AFTER_S", 0.0)
        work.fail(RuntimeError())
        await work.started()
    monkeypatch.setattr(background, "FIRST_PAUSE_S", 100.0)

    failures = [line["restarts"] for line in logs]
    assert failures == [1, 2, 3, 4]
    assert task._record_end(None) == 0.006
    assert task._failures == 1


async def test_jitter_takes_at_most_half_of_a_pause() -> None:
    """Tasks that failed together do not restart together."""
    pauses_s = []
    for jitter in (0.0, 1.0):
        task = BackgroundTask("sweeper", Work(), jitter=lambda jitter=jitter: jitter)  # type: ignore[misc]
        pauses_s.append(task._record_end(RuntimeError()))

    assert pauses_s == [background.FIRST_PAUSE_S / 2, background.FIRST_PAUSE_S]


async def test_work_with_an_end_is_done_when_it_returns(work: Work) -> None:
    """It is restarted after an error, but not after it returns."""
    task = BackgroundTask("reader", work, is_endless=False, jitter=lambda: 0.0)
    task.start()
    await work.started()
    work.fail(RuntimeError())
    await work.started()
    work.finish()
    await until(lambda: not task.is_running)

    assert (task.state, work.starts) == (BackgroundState.DONE, 2)


async def test_the_error_of_a_task_that_nobody_awaits_is_logged() -> None:
    """It is logged once, with the task's name; a cancelled task is not an error."""

    async def fail() -> None:
        raise RuntimeError

    with logged_lines() as logs:
        task = asyncio.create_task(fail(), name="errand")
        task.add_done_callback(log_failure)
        cancelled = asyncio.create_task(asyncio.sleep(60.0))
        cancelled.add_done_callback(log_failure)
        cancelled.cancel()
        await asyncio.wait({task, cancelled})
        await asyncio.sleep(0)

    assert [(line["event"], line["task"]) for line in logs] == [("background.failed", "errand")]
