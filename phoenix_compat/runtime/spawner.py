"""Starts the coroutines of callbacks eagerly: they run at once, up to their first wait."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from types import CoroutineType
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Spawner:
    """Starts coroutines and keeps references to the tasks that are not done.

    The event loop itself keeps only weak references to tasks.
    """

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        """How many tasks are not done."""
        return len(self._tasks)

    def start(self, awaitable: Awaitable[T]) -> asyncio.Task[T]:
        """Run what a callback returned up to its first wait; the returned task is often done.

        Raises:
            TypeError: the value is not awaitable.
        """
        # Asking for the type alone is quicker, and it is nearly always this one.
        is_coroutine = type(awaitable) is CoroutineType or isinstance(awaitable, Coroutine)
        task = _start_task(
            cast("Coroutine[Any, Any, T]", awaitable) if is_coroutine else _await(awaitable)
        )
        if not task.done():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return task

    def forget(self) -> None:
        """Drop the tasks of an event loop that is closed."""
        self._tasks.clear()

    async def wait(self, timeout_s: float, *, is_cancelling: bool = True) -> None:
        """Wait for all tasks until the timeout, then cancel the rest, unless told otherwise."""
        if not self._tasks:
            return
        _, pending = await asyncio.wait(self._tasks, timeout=timeout_s)
        if not is_cancelling:
            return
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending, timeout=timeout_s)


async def _await(awaitable: Awaitable[T]) -> T:
    return await awaitable


if sys.version_info >= (3, 12):

    def _start_task(coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return asyncio.Task(coroutine, loop=asyncio.get_running_loop(), eager_start=True)

else:

    def _start_task(coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task eagerly on Python 3.11, which has no `eager_start`.

        A new task schedules its first step with the loop's `call_soon`. That method is replaced for
        this moment, and the step is run here instead. So a callback that uses `asyncio.timeout` or
        `current_task` finds a real task.
        """
        loop = asyncio.get_running_loop()
        if asyncio.current_task(loop) is not None:
            return loop.create_task(coroutine)  # a task cannot run inside the step of another
        steps: list[tuple[Callable[[], object], Context]] = []

        def capture_step(step: Callable[[], object], *, context: Context) -> None:
            steps.append((step, context))

        vars(loop)["call_soon"] = capture_step
        try:
            task = asyncio.Task(coroutine, loop=loop)
        finally:
            del vars(loop)["call_soon"]
        step, context = steps[0]
        context.run(step)
        return task
