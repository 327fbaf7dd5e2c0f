"""Background tasks: what ends by itself is noticed, counted and started again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from phoenix_compat import background
from phoenix_compat.background import Background, BackgroundState, BackgroundTask, log_failure
from tests.patience import patient


class Work:
    """Work that ends as it is told; each start is counted."""

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
        """End of an error."""
        self._end.set_exception(error)

    def finish(self) -> None:
        """Return."""
        self._end.set_result(None)

    def lose(self) -> None:
        """End because what it awaits was cancelled by somebody else."""
        self._end.cancel()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until it holds."""
    async with asyncio.timeout(patient(10.0)):
        while not condition():  # noqa: ASYNC110 - a state, of which no event tells
            await asyncio.sleep(0.001)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
async def task(work: Work, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[BackgroundTask]:
    """A task that has begun, whose first pause is short."""
    monkeypatch.setattr(background, "FIRST_PAUSE_S", 0.002)
    monkeypatch.setattr(background, "SETTLED_AFTER_S", 0.05)
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
async def test_what_ends_by_itself_is_started_again(
    work: Work, task: BackgroundTask, end: Callable[[Work], None], why: str
) -> None:
    """An error, a return, or a cancelled thing that it awaited: down for a moment, then up."""
    group = Background()
    group.watch(lambda: (task,))
    with capture_logs() as logs:
        end(work)
        await until(lambda: not group.is_well)
        reported = group.report["sweeper"]
        await work.started()
        is_well_at_once = group.is_well
        await until(lambda: group.is_well)

    assert reported == {
        "state": "restarting",
        "restarts": 1,
        "reason": f"it {why}, and is started again",
    }
    assert not is_well_at_once
    assert work.starts == 2
    assert group.report == {"sweeper": {"state": "running", "restarts": 1}}
    assert [(line["event"], line["task"]) for line in logs] == [("background.ended", "sweeper")]


async def test_what_is_stopped_stays_stopped(work: Work, task: BackgroundTask) -> None:
    """Neither a stop at work nor one in a pause is followed by a start, and nothing is logged."""
    work.fail(RuntimeError())
    await until(lambda: task.state is BackgroundState.RESTARTING)
    with capture_logs() as logs:
        await task.stop()

    assert task.state is BackgroundState.STOPPED
    assert (work.starts, logs) == (1, [])
    task.start()
    await work.started()
    assert task.is_running


async def test_pauses_double_up_to_a_limit(
    work: Work, task: BackgroundTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each pause is twice the one before, at most the longest; who ran well begins anew."""
    monkeypatch.setattr(background, "LAST_PAUSE_S", 0.006)
    with capture_logs() as logs:
        for _ in range(3):
            work.fail(RuntimeError())
            await work.started()
        monkeypatch.setattr(background, "WELL_AFTER_S", 0.0)
        work.fail(RuntimeError())
        await work.started()
    monkeypatch.setattr(background, "FIRST_PAUSE_S", 100.0)

    failures = [line["restarts"] for line in logs]
    assert failures == [1, 2, 3, 4]
    assert task._note_end(None) == 0.006
    assert task._failures == 1


async def test_jitter_takes_at_most_half_of_a_pause() -> None:
    """So that what failed together does not come back together."""
    pauses_s = []
    for jitter in (0.0, 1.0):
        task = BackgroundTask("sweeper", Work(), jitter=lambda jitter=jitter: jitter)  # type: ignore[misc]
        pauses_s.append(task._note_end(RuntimeError()))

    assert pauses_s == [background.FIRST_PAUSE_S / 2, background.FIRST_PAUSE_S]


async def test_work_with_an_end_is_done_when_it_returns(work: Work) -> None:
    """It is started again after an error, and not after its end."""
    task = BackgroundTask("reader", work, is_endless=False, jitter=lambda: 0.0)
    task.start()
    await work.started()
    work.fail(RuntimeError())
    await work.started()
    work.finish()
    await until(lambda: not task.is_running)

    assert (task.state, work.starts) == (BackgroundState.DONE, 2)


async def test_the_error_of_a_task_that_nobody_awaits_is_logged() -> None:
    """Once, with its name; a cancelled one is no error."""

    async def fail() -> None:
        raise RuntimeError

    with capture_logs() as logs:
        task = asyncio.create_task(fail(), name="errand")
        task.add_done_callback(log_failure)
        cancelled = asyncio.create_task(asyncio.sleep(60.0))
        cancelled.add_done_callback(log_failure)
        cancelled.cancel()
        await asyncio.wait({task, cancelled})
        await asyncio.sleep(0)

    assert [(line["event"], line["task"]) for line in logs] == [("background.failed", "errand")]
