"""Background tasks: supervised, and restarted when they end unexpectedly.

If nobody awaits an asyncio task, its failure goes unnoticed and its work stops. So a task that must
run as long as its owner is a `BackgroundTask`. A task that soon ends by itself gets `log_failure`
as its done callback.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Any, Final, TypeAlias

FIRST_PAUSE_S: Final = 0.1
LAST_PAUSE_S: Final = 30.0
RECOVERED_AFTER_S: Final = 60.0
"""After a run of this length the backoff starts again with `FIRST_PAUSE_S`."""
RUNNING_AFTER_S: Final = 0.5
"""A restarted task that has run for this time counts as running again."""

Run: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

log = logging.getLogger(__name__)


class BackgroundState(StrEnum):
    """The state of a background task."""

    RUNNING = "running"
    RESTARTING = "restarting"
    DONE = "done"
    STOPPED = "stopped"


class BackgroundTask:
    """A supervised asyncio task.

    If the work raises or returns, this is logged with the traceback and counted, and the work is
    restarted after a pause that doubles each time. It is not restarted after `stop`, `cancel` or a
    cancellation from outside.

    Args:
        name: its name in logs and reports.
        run: called for each start; returns the coroutine to run.
        is_endless: whether returning is unexpected too. If False, work that returns is done; after
            an error it is still restarted.
        jitter: returns random numbers from 0.0 to 1.0; a pause is 50 to 100 % of its nominal
            length.

    Attributes:
        restarts: how often the work ended unexpectedly.
    """

    def __init__(
        self,
        name: str,
        run: Run,
        *,
        is_endless: bool = True,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.restarts = 0
        self._run = run
        self._is_endless = is_endless
        self._jitter = jitter
        self._failures = 0
        self._last_error = ""
        self._is_pausing = False
        self._began_s = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> BackgroundState:
        """The current state. A restarted task counts as running after `RUNNING_AFTER_S`."""
        if self._task is None or self._task.cancelled():
            return BackgroundState.STOPPED
        if self._task.done():
            has_failed = self._task.exception() is not None
            return BackgroundState.STOPPED if has_failed else BackgroundState.DONE
        if self._is_pausing:
            return BackgroundState.RESTARTING
        if self.restarts and self._ran_s < RUNNING_AFTER_S:
            return BackgroundState.RESTARTING
        return BackgroundState.RUNNING

    @property
    def report(self) -> dict[str, object]:
        """The `state`, the `restarts` and, while it restarts, the `reason`; for operators."""
        report: dict[str, object] = {"state": self.state.value, "restarts": self.restarts}
        if self.state is BackgroundState.RESTARTING:
            report["reason"] = f"the task {self._last_error} and is being restarted"
        return report

    @property
    def is_running(self) -> bool:
        """Whether it is neither stopped nor done; a pause before a restart counts as running."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Start the work, unless it is running."""
        if not self.is_running:
            self._task = asyncio.create_task(self._supervise(), name=self.name)

    def cancel(self) -> None:
        """Cancel the work without waiting for its end; nothing happens if its loop is closed."""
        if self._task is not None and not self._task.get_loop().is_closed():
            self._task.cancel()

    async def stop(self) -> None:
        """Cancel the work and wait for its end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    @property
    def _ran_s(self) -> float:
        return asyncio.get_running_loop().time() - self._began_s

    async def _supervise(self) -> None:
        while True:
            self._began_s = asyncio.get_running_loop().time()
            error: BaseException | None = None
            try:
                await self._run()
            except asyncio.CancelledError as cancelled:
                current = asyncio.current_task()
                if current is None or current.cancelling():
                    raise
                error = cancelled  # not this task, but something it awaited was cancelled
            except Exception as failure:  # noqa: BLE001 - it is restarted after any error
                error = failure
            if error is None and not self._is_endless:
                return
            pause_s = self._record_end(error)
            self._is_pausing = True
            try:
                await asyncio.sleep(pause_s)
            finally:
                self._is_pausing = False

    def _record_end(self, error: BaseException | None) -> float:
        """Log and count an unexpected end, and return the pause before the restart in seconds."""
        self._failures = 1 if self._ran_s >= RECOVERED_AFTER_S else self._failures + 1
        self.restarts += 1
        # Only the class: the text of an error may contain users' words.
        self._last_error = "returned" if error is None else f"ended with {type(error).__name__}"
        longest_s = min(FIRST_PAUSE_S * 2.0 ** min(self._failures - 1, 16), LAST_PAUSE_S)
        pause_s: float = longest_s * (0.5 + 0.5 * self._jitter())
        log.error(
            "background.ended",
            exc_info=error,
            extra={
                "task": self.name,
                "restarts": self.restarts,
                "pause_s": round(pause_s, 2),
            },
        )
        return pause_s


class BackgroundReport:
    """Reports on the background tasks of a server, for its readiness endpoint.

    It holds functions that return tasks, because the tasks of some components change over time.
    """

    def __init__(self) -> None:
        self._sources: list[Callable[[], tuple[BackgroundTask, ...]]] = []

    def watch(self, source: Callable[[], tuple[BackgroundTask, ...]]) -> None:
        """Include the tasks that this function returns."""
        self._sources.append(source)

    @property
    def report(self) -> dict[str, dict[str, object]]:
        """The report of each task by its name."""
        return {task.name: task.report for source in self._sources for task in source()}

    @property
    def is_healthy(self) -> bool:
        """Whether no task is being restarted."""
        return not any(
            task.state is BackgroundState.RESTARTING
            for source in self._sources
            for task in source()
        )


def log_failure(task: asyncio.Task[Any]) -> None:
    """A done callback: log the error of a task that nobody awaits."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("background.failed", exc_info=error, extra={"task": task.get_name()})
