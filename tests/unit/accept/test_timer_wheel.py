"""The timer wheel: each item is checked at its time, and one timer serves all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from phoenix_compat.accept import timer_wheel
from phoenix_compat.accept.timer_wheel import TimerWheel
from tests.patience import patient

TICK_S = 0.01


class Recorder:
    """Remembers when each item was checked.

    Attributes:
        again_s: by item, how often and how much later it is to be checked once more.
    """

    def __init__(self) -> None:
        self.checked: list[tuple[str, float]] = []
        self.again_s: dict[str, list[float]] = {}
        self.wheel: TimerWheel[str] = TimerWheel(self.check, TICK_S)

    def check(self, item: str, now_s: float) -> float | None:
        """See TimerWheel."""
        self.checked.append((item, now_s))
        again_s = self.again_s.get(item)
        return now_s + again_s.pop() if again_s else None

    @property
    def names(self) -> list[str]:
        """The items that were checked, in order."""
        return [name for name, _ in self.checked]


def now_s() -> float:
    """The loop's time."""
    return asyncio.get_running_loop().time()


async def until(is_so: Callable[[], bool]) -> None:
    """Let the loop turn until something is so."""
    async with asyncio.timeout(patient(10.0)):
        while not is_so():  # noqa: ASYNC110 - the wheel sets no event
            await asyncio.sleep(TICK_S / 4)


async def test_items_are_checked_in_the_order_of_their_times() -> None:
    """Never before its time, whatever the order in which they were put."""
    recorder = Recorder()
    begun_s = now_s()
    due_s = {name: begun_s + ticks * TICK_S for name, ticks in {"c": 9, "a": 2, "b": 5}.items()}
    for name, at_s in due_s.items():
        recorder.wheel.put(name, at_s)

    await until(lambda: len(recorder.checked) == 3)

    assert recorder.names == ["a", "b", "c"]
    assert all(checked_s > due_s[name] for name, checked_s in recorder.checked)
    assert len(recorder.wheel) == 0


async def test_an_item_has_one_time() -> None:
    """The last that was given, `put_sooner` only brings it forward, and removed ones have none."""
    recorder = Recorder()
    begun_s = now_s()
    for name in ("moved", "kept", "sooner", "removed"):
        recorder.wheel.put(name, begun_s + 3 * TICK_S)
    recorder.wheel.put("moved", begun_s + 12 * TICK_S)
    recorder.wheel.put_sooner("kept", begun_s + 100.0)
    recorder.wheel.put("sooner", begun_s + 100.0)
    recorder.wheel.put_sooner("sooner", begun_s + 6 * TICK_S)
    recorder.wheel.remove("removed")
    recorder.wheel.remove("unknown")

    await until(lambda: len(recorder.wheel) == 0)

    assert recorder.names == ["kept", "sooner", "moved"]


async def test_a_check_can_ask_for_another() -> None:
    """The item is checked at that time, and then leaves."""
    recorder = Recorder()
    recorder.again_s["a"] = [2 * TICK_S, 0.0]
    recorder.wheel.put("a", now_s())

    await until(lambda: "a" not in recorder.wheel)

    assert recorder.names == ["a", "a", "a"]


async def test_many_at_once_leave_turns_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are due at the same time are checked in portions."""
    monkeypatch.setattr(timer_wheel, "CHECKS_PER_TURN", 10)
    recorder = Recorder()
    for number in range(95):
        recorder.wheel.put(str(number), now_s())
    seen = []

    while len(recorder.checked) < 95:
        await asyncio.sleep(0)
        seen.append(len(recorder.checked))

    assert max(b - a for a, b in zip([0, *seen], seen, strict=False)) == 10


async def test_an_error_of_one_check_leaves_the_others_their_times() -> None:
    """The loop reports it, and the wheel turns on."""
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    checked = []

    def check(item: str, _now_s: float) -> None:
        checked.append(item)
        if item == "broken":
            raise RuntimeError

    wheel: TimerWheel[str] = TimerWheel(check, TICK_S)
    for item in ("broken", "next", "last"):
        wheel.put(item, now_s())

    await until(lambda: len(checked) == 3)

    assert len(reported) == 1


async def test_an_empty_wheel_has_no_timer() -> None:
    """An idle server wakes up for nothing."""
    recorder = Recorder()
    recorder.wheel.put("a", now_s())
    await until(lambda: not len(recorder.wheel))
    await asyncio.sleep(0)

    assert recorder.wheel._timer is None
