"""When the worker looks again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.tasks.worker.options import PollIntervals, WorkerOptions


def test_looks_grow_rare() -> None:
    """Soon at first, three seconds at most, ten when the prediction is old."""
    pace = PollIntervals()

    waits_s = [round(pace.wait_s(looks, 1.0, 0.5, is_reported=False), 2) for looks in (0, 1, 2, 20)]

    assert waits_s == [0.4, 0.5, 0.62, 3.0]
    assert pace.wait_s(20, 301.0, 0.5, is_reported=False) == 10.0


def test_webhooks_make_looks_rare() -> None:
    """A prediction that webhooks tell of is looked at every 20 s, young or old."""
    pace = PollIntervals()

    waits_s = [
        pace.wait_s(looks, age_s, 0.5, is_reported=True) for looks, age_s in ((0, 0), (9, 400))
    ]

    assert waits_s == [20.0, 20.0]


@given(st.integers(0, 10_000), st.floats(0, 1e6), st.floats(0, 1), st.booleans())
def test_looks_never_stop(looks: int, age_s: float, jitter: float, is_reported: bool) -> None:
    """No wait is shorter than a third of a second or longer than 22 seconds."""
    wait_s = PollIntervals().wait_s(looks, age_s, jitter, is_reported=is_reported)

    assert 0.3 <= wait_s <= 22.0


def test_trouble_is_met_with_patience() -> None:
    """Waits after failures double up to their limit."""
    options = WorkerOptions()

    assert [options.retry_wait_s(failures) for failures in (1, 2, 3, 4, 5, 99)] == [
        1.0,
        2.0,
        4.0,
        8.0,
        15.0,
        15.0,
    ]
