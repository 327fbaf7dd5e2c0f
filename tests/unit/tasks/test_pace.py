"""When the worker looks again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.tasks.pace import PollPace, WorkerOptions


def test_looks_grow_rare() -> None:
    """Soon at first, three seconds at most, ten when the prediction is old."""
    pace = PollPace()

    waits_s = [round(pace.wait_s(looks, 1.0, 1, 0.5), 2) for looks in (0, 1, 2, 20)]

    assert waits_s == [0.4, 0.5, 0.62, 3.0]
    assert pace.wait_s(20, 301.0, 1, 0.5) == 10.0


@given(st.integers(0, 10_000), st.floats(0, 1e6), st.integers(1, 10_000), st.floats(0, 1))
def test_all_looks_share_a_budget(looks: int, age_s: float, running: int, jitter: float) -> None:
    """However many predictions run, together they look at most 30 times a second."""
    wait_s = PollPace().wait_s(looks, age_s, running, jitter)

    assert running / wait_s <= 30.001
    assert wait_s >= 0.3


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
