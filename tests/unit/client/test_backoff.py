"""The waits between tries."""

from __future__ import annotations

import pytest

from phoenix_compat.client.backoff import Backoff
from phoenix_compat.client.options import RECONNECT_AFTER_S, REJOIN_AFTER_S


def middle(low: float, high: float) -> float:
    """No jitter."""
    return (low + high) / 2


@pytest.mark.parametrize(
    ("table", "waits_ms"),
    [
        (RECONNECT_AFTER_S, [10, 50, 100, 150, 200, 250, 500, 1000, 2000, 5000, 5000]),
        (REJOIN_AFTER_S, [1000, 2000, 5000, 10000, 10000]),
    ],
)
def test_the_tables_are_those_of_phoenix_js(table: tuple[float, ...], waits_ms: list[int]) -> None:
    """The last wait is repeated."""
    backoff = Backoff(table, 0.25, middle)

    assert [round(backoff.next_s() * 1000) for _ in waits_ms] == waits_ms


@pytest.mark.parametrize(("jitter", "low", "high"), [(0.25, 0.75, 1.25), (0.0, 1.0, 1.0)])
def test_jitter(jitter: float, low: float, high: float) -> None:
    """Waits vary by that part, to both sides."""
    waits = [Backoff((1.0,), jitter).next_s() for _ in range(200)]

    assert low <= min(waits) <= max(waits) <= high
    assert (len(set(waits)) > 1) == (jitter > 0)


def test_reset() -> None:
    """The table begins again."""
    backoff = Backoff((1.0, 2.0), 0.0)
    backoff.next_s()
    backoff.next_s()

    backoff.reset()

    assert (backoff.tries, backoff.next_s()) == (0, 1.0)
