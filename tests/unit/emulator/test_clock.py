"""The emulator's clock."""

from __future__ import annotations

import math

import pytest

from phoenix_compat.emulator.clock import EmulatorClock, parse_timestamp, timestamp


class Seconds:
    """A source of real seconds that a test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_it_follows_its_source() -> None:
    """By default the clock shows the time of its source."""
    source = Seconds()
    clock = EmulatorClock(source)

    source.now_s += 5

    assert clock.now_s() == 105


def test_a_jump_adds_to_the_time() -> None:
    """`advance` moves the time and does not change the speed."""
    source = Seconds()
    clock = EmulatorClock(source)

    clock.advance(3600)
    source.now_s += 1

    assert clock.now_s() == 3701


def test_a_new_speed_applies_from_now_on() -> None:
    """`scale` does not change the time that has already passed."""
    source = Seconds()
    clock = EmulatorClock(source)

    source.now_s += 10
    clock.scale(20)
    source.now_s += 2

    assert clock.now_s() == 150


def test_a_stopped_clock_never_reaches_a_later_time() -> None:
    """At speed 0 the wait for a later time is infinite, and for a past one it is 0."""
    clock = EmulatorClock(Seconds())

    clock.scale(0)

    assert clock.real_seconds_until(101) == math.inf
    assert clock.real_seconds_until(100) == 0


def test_a_wait_is_shorter_on_a_fast_clock() -> None:
    """Real seconds are emulated seconds divided by the speed."""
    clock = EmulatorClock(Seconds())

    clock.scale(4)

    assert clock.real_seconds_until(110) == 2.5


def test_listeners_are_called_after_each_change() -> None:
    """Both a jump and a change of speed call the listeners."""
    calls = []
    clock = EmulatorClock(Seconds())
    clock.on_change(lambda: calls.append(clock.now_s()))

    clock.advance(1)
    clock.scale(2)

    assert calls == [101, 101]


@pytest.mark.parametrize("move", [lambda c: c.advance(-1), lambda c: c.scale(-1)])
def test_time_never_runs_back(move: object) -> None:
    """A negative jump or speed is refused."""
    clock = EmulatorClock(Seconds())

    with pytest.raises(ValueError, match="clock"):
        move(clock)  # type: ignore[operator] # a lambda of this test


@pytest.mark.parametrize(
    ("digits", "text"),
    [(3, "2025-07-30T03:13:27.921Z"), (6, "2025-07-30T03:13:27.921000Z")],
)
def test_timestamps_have_as_many_digits_as_asked(digits: int, text: str) -> None:
    """A whole number of milliseconds is shown exactly."""
    assert timestamp(1753845207.921, digits) == text


def test_every_millisecond_survives_being_shown() -> None:
    """Rounding errors of floats do not change the milliseconds."""
    moments = [1_764_000_000 + millisecond / 1000 for millisecond in range(1000)]

    shown = [timestamp(moment) for moment in moments]

    assert [text[20:23] for text in shown] == [f"{number:03d}" for number in range(1000)]


def test_a_timestamp_is_read_back() -> None:
    """The emulator can parse its own timestamps; a time without a zone is UTC."""
    assert parse_timestamp("2025-07-30T03:13:27.921Z") == pytest.approx(1753845207.921)
    assert parse_timestamp("2025-07-30T03:13:27") == 1753845207
