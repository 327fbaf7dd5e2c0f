"""Numbered messages, durations, and the generator's own lateness."""

from __future__ import annotations

import asyncio
import random

import pytest

from phoenix_compat.conformance.load.generator import Generator
from phoenix_compat.conformance.load.histogram import Histogram
from phoenix_compat.conformance.load.sequence import Sequence
from tests.patience import patient


@pytest.mark.parametrize(
    ("numbers", "missing", "out_of_order", "duplicated"),
    [
        ([0, 1, 2, 3], 0, 0, 0),
        ([], 4, 0, 0),
        ([0, 1, 3], 1, 0, 0),
        ([0, 1], 2, 0, 0),
        ([1, 0, 3, 2], 0, 2, 0),
        ([0, 0, 1, 2, 3, 3], 0, 0, 2),
        ([3, 1, 1], 2, 1, 1),
    ],
)
def test_what_is_wrong_with_a_sequence(
    numbers: list[int], missing: int, out_of_order: int, duplicated: int
) -> None:
    """Of four messages, each fault is counted as what it is."""
    sequence = Sequence()

    for number in numbers:
        sequence.record(number)

    assert sequence.received == len(numbers)
    assert sequence.missing(4) == missing
    assert (sequence.out_of_order, sequence.duplicated) == (out_of_order, duplicated)


def test_what_comes_after_an_end_is_not_missing() -> None:
    """Of a connection that has ended, only what was skipped before counts."""
    sequence = Sequence()
    for number in (0, 2):
        sequence.record(number)

    assert (sequence.missing(), sequence.missing(100)) == (1, 98)


def test_a_sequence_remembers_a_bounded_number_of_gaps() -> None:
    """A number that is too old to be remembered stays missing, and counts as duplicated."""
    sequence = Sequence()
    for number in range(0, 20_000, 2):
        sequence.record(number)

    sequence.record(19_997)
    sequence.record(1)

    assert (sequence.out_of_order, sequence.duplicated) == (1, 1)
    assert sequence.missing() == 10_000 - 2
    assert len(sequence._gaps) <= 200


def test_percentiles_are_exact_to_two_per_cent() -> None:
    """From microseconds to minutes, in a fixed number of buckets."""
    rng = random.Random(1)  # noqa: S311 - not for secrets
    durations_s = sorted(10.0 ** rng.uniform(-6, 2.5) for _ in range(5_000))
    histogram = Histogram()
    for duration_s in durations_s:
        histogram.record(duration_s)

    for percent in (1.0, 50.0, 90.0, 99.0, 99.9):
        exact_s = durations_s[int(len(durations_s) * percent / 100.0) - 1]
        assert histogram.percentile_s(percent) == pytest.approx(exact_s, rel=0.02, abs=2e-6)
    assert histogram.percentile_s(100.0) == histogram.max_s == durations_s[-1]


def test_rows_have_every_duration_once() -> None:
    """What is longer than the last edge is in the last row, and too long ones are there, too."""
    histogram = Histogram()
    for duration_s in (-1.0, 0.0, 0.0009, 0.0011, 0.5, 5_000.0):
        histogram.record(duration_s)

    assert list(histogram.rows([0.001, 1.0])) == [(0.001, 3), (1.0, 2), (float("inf"), 1)]
    assert Histogram().percentile_s(99.0) == 0.0


class FakeTime:
    """A clock that runs while this thread works, or while it sleeps."""

    now_s = 0.0
    worked_s = 0.0


def generator_that(
    *, late_s: float = 0.0, loop_late_s: float = 0.0, busy: float = 0.1, is_held_back: bool = True
) -> Generator:
    """A generator that has sent 90 of 100 messages within a second, so late and so busy."""
    fake = FakeTime()
    generator = Generator(lambda: fake.now_s, lambda: fake.worked_s)
    generator.begin()
    for _message in range(90):
        generator.record(late_s)
    generator.skip(10, is_held_back=is_held_back)
    for _wake_up in range(10):
        generator.loop_late.record(loop_late_s)
    fake.now_s, fake.worked_s = 1.0, busy
    generator.end()
    return generator


def test_a_late_generator_blames_itself() -> None:
    """If it sent too few or too late, or had no time to spare, it was not the load asked for."""
    assert generator_that(late_s=0.2).problem == (
        "it sent 100 % of the messages more than 100 ms late"
    )
    too_few = "it sent only 90 % of the messages in time"
    assert generator_that(loop_late_s=0.2).problem == too_few
    assert generator_that(is_held_back=False).problem == too_few
    assert generator_that(busy=0.95).problem == "it computed 95 % of the time"
    assert Generator().problem == "no message was due; choose a higher rate or a longer time"


def test_a_server_that_does_not_read_is_to_blame() -> None:
    """If the event loop was in time and messages were not sent, the server held them back."""
    generator = generator_that()

    assert (generator.problem, generator.held_back) == (None, 10)
    assert generator_that(loop_late_s=0.2).held_back == 0


async def test_the_event_loop_is_watched() -> None:
    """Wake-ups are recorded until the watch is cancelled."""
    generator = Generator()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(patient(0.1)):
            await generator.watch_loop()

    assert generator.loop_late.count > 0
