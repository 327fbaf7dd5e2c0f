"""Progress from logs and from elapsed time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.tasks.model.progress import bar_fraction, next_progress, time_fraction

FLUX = """running quantized prediction
generating
Using seed: 68235
  0%|          | 0/4 [00:00<?, ?it/s]
 50%|█████     | 2/4 [00:00<00:00, 18.61it/s]
"""


@pytest.mark.parametrize(
    ("logs", "fraction"),
    [
        ("", None),
        ("Using seed: 1", None),
        (FLUX, 0.5),
        (FLUX + "100%|██████████| 4/4 [00:00<00:00]\nTotal safe images: 1 out of 1\n", 1.0),
        ("  0%|  | 0/28 [00:00<?]\r 25%|██  | 7/28 [00:01]\r 50%|███ | 14/28 [00:02]", 0.5),
        ("Downloading:  40%|████      | 3.9G/9.8G [00:01<00:02]", None),
        ("100%|██████████| 9.8G/9.8G [00:09<00:00]\n", None),
        ("Loading pipeline components: 100%|██████████| 7/7 [00:02<00:00]\n", None),
        ("Fetching 16 files: 100%|█| 16/16 [00:02]\n  5%|▌  | 1/20 [00:00]", 0.05),
        ("step 3: denoising  40%|████      | 20/50 [00:01<00:02]", 0.4),
        (" 12%|█| 1.5/12.0 [00:01]", 0.12),
        ("100%|██████████| 9/9 [00:01]\n 10%|█         | 2/20 [00:00]", 0.1),
        ("100%|██████████| 1/1 [00:00]", None),
        (" 30%|   | 3/? [00:00]", None),
        ("  0%|| 0/50 [00:00]", 0.0),
        ("CPU at 50% | all fine", None),
        ("900%|█| 9/10 [00:00]", 1.0),
    ],
)
def test_the_last_bar_counts(logs: str, fraction: float | None) -> None:
    """The fraction is that of the last bar with more than one step."""
    assert bar_fraction(logs) == fraction


def test_huge_logs_are_searched_quickly() -> None:
    """Only the end is searched, and no text makes the search slow."""
    logs = " 50%|" * 1_000_000

    began_s = time.perf_counter()
    assert bar_fraction(logs) is None
    assert time.perf_counter() - began_s < 0.5


@given(st.lists(st.floats(0.0, 2.0)))
def test_progress_never_falls(fractions: list[float]) -> None:
    """For any fractions progress rises, from 0.1 and to at most 0.95."""
    progress = 0.1
    for fraction in fractions:
        reached = next_progress(progress, fraction)
        assert progress <= reached <= 0.95
        progress = reached


@given(st.floats(0.0, 1e6), st.floats(0.0, 1e6), st.floats(0.0, 1e3))
def test_time_only_increases_the_fraction(first_s: float, more_s: float, expected_s: float) -> None:
    """The fraction rises with elapsed time and stays at most 1.0."""
    sooner, later = time_fraction(first_s, expected_s), time_fraction(first_s + more_s, expected_s)

    assert 0.0 <= sooner <= later <= 1.0


def test_progress_has_a_first_and_a_last_value() -> None:
    """A fraction of 0 gives 0.1, and 1 gives 0.95."""
    assert (next_progress(0.0, 0.0), next_progress(0.0, 1.0)) == (0.1, 0.95)


@given(st.text(alphabet="0123456789%|/ .kMG\r\nxé", max_size=200))
def test_any_text_may_be_a_log(logs: str) -> None:
    """For any text the parser returns None or a fraction from 0 to 1."""
    fraction = bar_fraction(logs)

    assert fraction is None or 0.0 <= fraction <= 1.0
