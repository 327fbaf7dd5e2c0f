"""Work that goes on beside all else: started, watched, started again when it ends by itself.

An asyncio task that ends of an error says so to nobody who does not await it, and whatever it did
is done no more. Work that shall go on for as long as its owner lives is therefore a
`BackgroundTask`; work that ends by itself soon is a task with `log_failure` as its done callback.
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
WELL_AFTER_S: Final = 60.0
"""Who has run for so long has recovered: the next pause is the first one again."""
SETTLED_AFTER_S: Final = 0.5
"""Who was started again and has run for so long is up again."""

Run: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

log = logging.getLogger(__name__)


class BackgroundState(StrEnum):
    """How it stands with a background task."""

    RUNNING = "running"
    RESTARTING = "restarting"
    DONE = "done"
    STOPPED = "stopped"


class BackgroundTask:
    """Work that is watched.

    When it ends by itself, of an error or by returning, that is logged once with its traceback and
    counted, and it is started again after a pause that doubles. It is not started again when it
    was stopped or cancelled from outside.

    Args:
        name: what logs and operators call it.
        run: makes the work's coroutine, for each start anew.
        is_endless: False for work that is done when it returns; an error starts it again too.
        jitter: random numbers from 0.0 to 1.0: a pause is half to all of what it could be.

    Attributes:
        restarts: how often it ended by itself so far.
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
        """Whether it works; who was started again must first run for a moment."""
        if self._task is None or self._task.cancelled():
            return BackgroundState.STOPPED
        if self._task.done():
            has_failed = self._task.exception() is not None
            return BackgroundState.STOPPED if has_failed else BackgroundState.DONE
        if self._is_pausing:
            return BackgroundState.RESTARTING
        if self.restarts and self._ran_s < SETTLED_AFTER_S:
            return BackgroundState.RESTARTING
        return BackgroundState.RUNNING

    @property
    def report(self) -> dict[str, object]:
        """How it stands, for operators: `state`, `restarts`, and why it does not run."""
        report: dict[str, object] = {"state": self.state.value, "restarts": self.restarts}
        if self.state is BackgroundState.RESTARTING:
            report["reason"] = f"it {self._last_error}, and is started again"
        return report

    @property
    def is_running(self) -> bool:
        """Whether it is neither stopped nor done; a pause before a start counts."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Begin, unless it runs."""
        if not self.is_running:
            self._task = asyncio.create_task(self._keep_up(), name=self.name)

    def cancel(self) -> None:
        """End it soon; it is not started again."""
        if self._task is not None:
            self._task.cancel()

    async def stop(self) -> None:
        """End it; it is not started again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    @property
    def _ran_s(self) -> float:
        return asyncio.get_running_loop().time() - self._began_s

    async def _keep_up(self) -> None:
        while True:
            self._began_s = asyncio.get_running_loop().time()
            error: BaseException | None = None
            try:
                await self._run()
            except asyncio.CancelledError as cancelled:
                current = asyncio.current_task()
                if current is None or current.cancelling():
                    raise
                error = cancelled  # nobody cancelled us: something that it awaited was cancelled
            except Exception as failure:  # noqa: BLE001 - whatever ends it, it is started again
                error = failure
            if error is None and not self._is_endless:
                return
            pause_s = self._note_end(error)
            self._is_pausing = True
            try:
                await asyncio.sleep(pause_s)
            finally:
                self._is_pausing = False

    def _note_end(self, error: BaseException | None) -> float:
        """Log and count that it has ended; how long to pause."""
        self._failures = 1 if self._ran_s >= WELL_AFTER_S else self._failures + 1
        self.restarts += 1
        # The class alone: what an error says may be a user's words.
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


class Background:
    """The background tasks of a server, for whoever asks how it is.

    Those of parts that come and go are asked for each time.
    """

    def __init__(self) -> None:
        self._sources: list[Callable[[], tuple[BackgroundTask, ...]]] = []

    def watch(self, source: Callable[[], tuple[BackgroundTask, ...]]) -> None:
        """Have the tasks of a part reported too."""
        self._sources.append(source)

    @property
    def report(self) -> dict[str, dict[str, object]]:
        """How each stands, by its name."""
        return {task.name: task.report for source in self._sources for task in source()}

    @property
    def is_well(self) -> bool:
        """Whether none of them is being started again."""
        return not any(
            task.state is BackgroundState.RESTARTING
            for source in self._sources
            for task in source()
        )


def log_failure(task: asyncio.Task[Any]) -> None:
    """A done callback: log the error of a task that nobody awaits."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("background.failed", exc_info=error, extra={"task": task.get_name()})
