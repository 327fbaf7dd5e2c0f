"""The rate limit."""

from __future__ import annotations

import pytest

from phoenix_compat.emulator.problem import ProblemError
from phoenix_compat.emulator.rate_limit import RateLimit


def test_a_burst_is_let_through_and_then_no_more() -> None:
    """As many requests as the burst pass at once; the next gets 429 with the time to wait."""
    limit = RateLimit(per_minute=6, burst=2, now_s=0)
    limit.take(0)
    limit.take(0)

    with pytest.raises(ProblemError) as refusal:
        limit.take(0)

    assert refusal.value.status == 429
    assert refusal.value.body["retry_after"] == 10
    assert refusal.value.headers == {"Retry-After": "10"}
    assert "resets in ~10s" in refusal.value.body["detail"]


def test_a_request_passes_after_the_stated_wait() -> None:
    """After the time that the 429 states, the next request passes."""
    limit = RateLimit(per_minute=6, burst=1, now_s=0)
    limit.take(0)

    limit.take(10)

    assert limit.headers(10) == {"ratelimit-remaining": "0", "ratelimit-reset": "10"}


def test_a_refusal_costs_nothing() -> None:
    """A refused request does not delay the next token."""
    limit = RateLimit(per_minute=6, burst=1, now_s=0)
    limit.take(0)
    for _ in range(5):
        with pytest.raises(ProblemError):
            limit.take(9)

    limit.take(10)

    assert limit.headers(20)["ratelimit-remaining"] == "1"
