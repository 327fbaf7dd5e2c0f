"""What the overview asks operators to look at."""

from __future__ import annotations

import pytest

from phoenix_compat.server.console.attention import Situation, attention

CODES = ("content_policy", "content_policy", "timed_out", "canceled", "canceled")


def titles(**values: object) -> list[str]:
    """The titles of what needs attention."""
    return [item.title for item in attention(Situation(**values))]  # type: ignore[arg-type] # the tests' own values


def test_a_healthy_server_needs_none() -> None:
    """A server with a token and nothing wrong."""
    assert titles() == []


@pytest.mark.parametrize(
    ("values", "level", "word"),
    [
        ({"has_leader": False}, "bad", "No process has the database"),
        ({"store_problem": "disk full"}, "bad", "disk full"),
        ({"restarting": {"dispatcher": "it ended"}}, "bad", "dispatcher"),
        ({"circuit_reason": "provider_account"}, "bad", "provider account"),
        ({"disabled_webhooks": {"default": "it took no event"}}, "bad", "webhook default"),
        ({"missing_processes": 2}, "warning", "2 processes"),
        ({"spent_usd": 4.5, "cap_usd": 5.0}, "warning", "90%"),
        ({"spent_usd": 5.0, "cap_usd": 5.0}, "bad", "used up"),
        ({"queued": 9, "oldest_queued_s": 61.0, "running": 1}, "warning", "a minute"),
        ({"ended": 9, "codes": CODES}, "warning", "3 of 9 tasks failed"),
        ({"is_open_to_all": True}, "warning", "no authentication"),
        ({"is_emulated": True}, "info", "No Replicate token"),
    ],
)
def test_each_trouble_has_its_remedy(values: dict[str, object], level: str, word: str) -> None:
    """The title says what is wrong, the text what to do."""
    (item,) = attention(Situation(**values))  # type: ignore[arg-type] # the tests' own values

    assert item.level == level
    assert word in item.title
    assert len(item.text) > 20


@pytest.mark.parametrize(
    "values",
    [
        {"spent_usd": 3.9, "cap_usd": 5.0},
        {"spent_usd": 3.9},
        {"queued": 9, "oldest_queued_s": 59.0, "running": 1},
        {"queued": 9, "oldest_queued_s": 600.0, "running": 1, "concurrency": 2},
        {"ended": 100, "codes": CODES},
        {"ended": 5, "codes": ["canceled"] * 5},
    ],
)
def test_what_is_usual_needs_no_attention(values: dict[str, object]) -> None:
    """Below the thresholds nothing is said."""
    assert titles(**values) == []


def test_the_worst_comes_first() -> None:
    """Bad before warning before info."""
    found = attention(Situation(is_emulated=True, is_open_to_all=True, store_problem="x"))

    assert [item.level for item in found] == ["bad", "warning", "info"]
