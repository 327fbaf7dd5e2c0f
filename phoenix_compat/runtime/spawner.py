"""Starting coroutines: at once, and as a task only so far as they wait."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


class Spawner:
    """Starts the coroutines of callbacks and holds those that are not done yet.

    The loop keeps only weak references to tasks, so somebody must.
    """

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        """How many are waiting for something."""
        return len(self._tasks)

    def start(self, awaitable: Awaitable[T]) -> asyncio.Task[T]:
        """Run what a callback returned up to its first wait; the task is often done already.

        Raises:
            TypeError: it cannot be awaited.
        """
        task = _start_task(awaitable if isinstance(awaitable, Coroutine) else _await(awaitable))
        if not task.done():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return task

    async def wait(self, timeout_s: float) -> None:
        """Give what still runs some seconds to end, then cancel it."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=timeout_s)


async def _await(awaitable: Awaitable[T]) -> T:
    return await awaitable


if sys.version_info >= (3, 12):

    def _start_task(coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return asyncio.Task(coroutine, loop=asyncio.get_running_loop(), eager_start=True)

else:

    def _start_task(coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """What `eager_start` does from 3.12 on, for 3.11.

        A new task asks its loop to call its first step soon. The loop's `call_soon` is covered for
        that moment, and the step is run here, as the loop would have. A callback that uses
        `asyncio.timeout` or `current_task` finds a real task, as it must.
        """
        loop = asyncio.get_running_loop()
        if asyncio.current_task(loop) is not None:
            return loop.create_task(coroutine)  # a task cannot be stepped inside another's step
        steps: list[tuple[Callable[[], object], Context]] = []

        def take_step(step: Callable[[], object], *, context: Context) -> None:
            steps.append((step, context))

        vars(loop)["call_soon"] = take_step
        try:
            task = asyncio.Task(coroutine, loop=loop)
        finally:
            del vars(loop)["call_soon"]
        step, context = steps[0]
        context.run(step)
        return task
