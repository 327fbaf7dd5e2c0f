"""The waits between polls, and after failures."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.tasks.worker.options import PollIntervals, WorkerOptions


def test_polls_become_less_frequent() -> None:
    """The wait grows from 0.4 s to 3 s, and is 10 s for an old prediction."""
    intervals = PollIntervals()

    waits_s = [
        round(intervals.wait_s(polls, 1.0, 0.5, is_reported=False), 2) for polls in (0, 1, 2, 20)
    ]

    assert waits_s == [0.4, 0.5, 0.62, 3.0]
    assert intervals.wait_s(20, 301.0, 0.5, is_reported=False) == 10.0


def test_webhooks_make_polls_rare() -> None:
    """A prediction that webhooks report on is polled every 20 s, whatever its age."""
    intervals = PollIntervals()

    waits_s = [
        intervals.wait_s(polls, age_s, 0.5, is_reported=True) for polls, age_s in ((0, 0), (9, 400))
    ]

    assert waits_s == [20.0, 20.0]


@given(st.integers(0, 10_000), st.floats(0, 1e6), st.floats(0, 1), st.booleans())
def test_polls_never_stop(polls: int, age_s: float, jitter: float, is_reported: bool) -> None:
    """No wait is shorter than 0.3 s or longer than 22 s."""
    wait_s = PollIntervals().wait_s(polls, age_s, jitter, is_reported=is_reported)

    assert 0.3 <= wait_s <= 22.0


def test_waits_after_failures_grow() -> None:
    """Each failure in a row doubles the wait, up to its limit."""
    options = WorkerOptions()

    assert [options.retry_wait_s(failures) for failures in (1, 2, 3, 4, 5, 99)] == [
        1.0,
        2.0,
        4.0,
        8.0,
        15.0,
        15.0,
    ]
