"""Starting coroutines eagerly, as real tasks, in every event loop."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator
from contextvars import ContextVar
from typing import Any

import pytest
import uvloop

from phoenix_compat.runtime.spawner import Spawner
from tests.patience import patient
from tests.unit.runtime.harness import settle

Factory = Callable[[], asyncio.AbstractEventLoop]

COLOR: ContextVar[str] = ContextVar("COLOR")


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def factory(request: pytest.FixtureRequest) -> Factory:
    """Creates the event loop of a test."""
    made: Factory = request.param
    return made


def outside_of_tasks(factory: Factory, scene: Callable[[], Any], *, debug: bool = False) -> Any:
    """Run a function as a callback of a loop, as a transport does; await it if it is a coroutine.

    What comes back of the callback is what the scene returned.
    """

    async def run() -> Any:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def callback() -> None:
            try:
                done.set_result(scene())
            except Exception as error:
                done.set_exception(error)
                raise

        loop.call_soon(callback)
        returned = await done
        return await returned if inspect.isawaitable(returned) else returned

    with asyncio.Runner(loop_factory=factory, debug=debug) as runner:
        return runner.run(run())


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
def test_a_coroutine_that_does_not_wait_is_done_at_once(factory: Factory, debug: bool) -> None:
    """Its task is done when `start` returns."""
    spawner = Spawner()

    async def work() -> int:
        return 42

    def scene() -> tuple[bool, int, int]:
        task = spawner.start(work())
        return task.done(), task.result(), len(spawner)

    assert outside_of_tasks(factory, scene, debug=debug) == (True, 42, 0)


def test_a_coroutine_that_waits_becomes_a_task(factory: Factory) -> None:
    """Its task is kept until it is done."""
    spawner = Spawner()
    steps: list[str] = []

    async def work() -> str:
        steps.append("first")
        await asyncio.sleep(0)
        steps.append("second")
        return "done"

    async def finish(task: asyncio.Task[str], before: tuple[Any, ...]) -> tuple[Any, ...]:
        result = await task
        await asyncio.sleep(0)
        return (*before, result, len(spawner))

    def scene() -> Awaitable[tuple[Any, ...]]:
        task = spawner.start(work())
        return finish(task, (list(steps), task.done(), len(spawner)))

    assert outside_of_tasks(factory, scene) == (["first"], False, 1, "done", 0)
    assert steps == ["first", "second"]


def test_the_first_step_runs_in_a_real_task(factory: Factory) -> None:
    """In its first step, a callback's current task is the one that `start` returns."""
    spawner = Spawner()

    async def work() -> Any:
        return asyncio.current_task()

    def scene() -> bool:
        task = spawner.start(work())
        return task.result() is task and asyncio.current_task() is None

    assert outside_of_tasks(factory, scene)


def test_a_timeout_may_begin_in_the_first_step(factory: Factory) -> None:
    """`asyncio.timeout` works in a first step, with or without a wait."""
    spawner = Spawner()

    async def answer() -> str:
        return "in time"

    async def quick() -> str:
        async with asyncio.timeout(patient(5)):
            return await answer()

    async def slow() -> None:
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()

    async def outcome(late: asyncio.Task[None]) -> str:
        with pytest.raises(TimeoutError):
            await late
        return "too late"

    def scene() -> Awaitable[str]:
        assert spawner.start(quick()).result() == "in time"
        return outcome(spawner.start(slow()))

    assert outside_of_tasks(factory, scene) == "too late"


def test_the_context_is_kept(factory: Factory) -> None:
    """A callback sees the context variables of its caller, and changes only its own copy."""
    spawner = Spawner()

    async def work() -> str:
        seen = COLOR.get()
        COLOR.set("red")
        await asyncio.sleep(0)
        return f"{seen}, then {COLOR.get()}"

    async def both(task: asyncio.Task[str], color: str) -> tuple[str, str]:
        return await task, color

    def scene() -> Awaitable[tuple[str, str]]:
        COLOR.set("blue")
        task = spawner.start(work())
        return both(task, COLOR.get())

    assert outside_of_tasks(factory, scene) == ("blue, then red", "blue")


@pytest.mark.parametrize("error", [RuntimeError("no"), asyncio.CancelledError("no")])
def test_an_exception_is_in_the_task(factory: Factory, error: BaseException) -> None:
    """An error in the first step is in the task; `start` does not raise it."""
    spawner = Spawner()

    async def work() -> None:
        raise error

    def scene() -> str:
        task = spawner.start(work())
        with pytest.raises(type(error)):
            task.result()
        return f"done {task.done()}, cancelled {task.cancelled()}"

    expected = f"done True, cancelled {isinstance(error, asyncio.CancelledError)}"
    assert outside_of_tasks(factory, scene) == expected


def test_the_loop_is_left_as_it_was(factory: Factory) -> None:
    """After a start the loop's `call_soon` works as before."""
    spawner = Spawner()
    called: list[str] = []

    async def work() -> None:
        asyncio.get_running_loop().call_soon(called.append, "by the first step")
        raise RuntimeError

    async def look() -> list[str]:
        await asyncio.sleep(0)
        return called

    def scene() -> Awaitable[list[str]]:
        task = spawner.start(work())
        assert isinstance(task.exception(), RuntimeError)
        asyncio.get_running_loop().call_soon(called.append, "afterwards")
        return look()

    assert outside_of_tasks(factory, scene) == ["by the first step", "afterwards"]


def test_a_start_inside_a_task(factory: Factory) -> None:
    """The coroutine runs, and the outer task is current again afterwards."""
    spawner = Spawner()

    async def inner() -> Any:
        async with asyncio.timeout(patient(5)):
            await asyncio.sleep(0)
        return asyncio.current_task()

    async def outer() -> bool:
        before = asyncio.current_task()
        task = spawner.start(inner())
        is_unchanged = asyncio.current_task() is before
        return is_unchanged and await task is task

    assert outside_of_tasks(factory, outer)


def test_a_start_inside_a_first_step(factory: Factory) -> None:
    """A callback may start another one, for example by a broadcast that a channel intercepts."""
    spawner = Spawner()

    async def inner() -> str:
        return "inner"

    async def outer() -> tuple[str, bool]:
        task = spawner.start(inner())
        return await task, asyncio.current_task() is not task

    async def finish(task: asyncio.Task[tuple[str, bool]]) -> tuple[str, bool]:
        return await task

    assert outside_of_tasks(factory, lambda: finish(spawner.start(outer()))) == ("inner", True)


class Ready:
    """An awaitable that is not a coroutine."""

    def __await__(self) -> Generator[None, None, str]:
        yield from asyncio.sleep(0).__await__()
        return "ready"


async def test_anything_awaitable_can_be_started() -> None:
    """A callback may return a future or an object of its own."""
    spawner = Spawner()
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    future.set_result("future")

    assert await spawner.start(Ready()) == "ready"
    assert await spawner.start(future) == "future"


@pytest.mark.parametrize("value", [{"a": 1}, None, 5])
async def test_what_cannot_be_awaited_fails(value: Any) -> None:
    """A value that is not awaitable raises a TypeError."""
    with pytest.raises(TypeError, match="await"):
        await Spawner().start(value)


async def test_waiting_lets_tasks_end() -> None:
    """At shutdown, running tasks may finish in time."""
    spawner = Spawner()
    gate = asyncio.Event()
    task = spawner.start(gate.wait())

    asyncio.get_running_loop().call_soon(gate.set)
    await spawner.wait(5.0)
    await spawner.wait(5.0)

    assert task.result() is True
    assert len(spawner) == 0


async def test_waiting_ends_what_does_not_end() -> None:
    """At shutdown, tasks over the timeout are cancelled."""
    spawner = Spawner()
    task = spawner.start(asyncio.Event().wait())

    await spawner.wait(0.001)

    assert task.cancelled()
    await settle()
    assert len(spawner) == 0
