"""The random part of the ids of tasks."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from phoenix_compat.tasks.store.new_task import _RandomBytes


class Counted:
    """The system's random bytes, and how often they were fetched."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, size_bytes: int) -> bytes:
        self.times += 1
        return os.urandom(size_bytes)


def test_one_fetch_serves_many_ids() -> None:
    """All bytes are given out, each once."""
    fetch = Counted()
    random = _RandomBytes(10, at_once=4, fetch=fetch)

    taken = [random.take() for _ in range(9)]

    assert fetch.times == 3
    assert {len(one) for one in taken} == {10}
    assert len(set(taken)) == 9


def test_a_forked_process_fetches_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was fetched before the fork is used by one of the two only."""
    after_fork: list[Callable[[], None]] = []
    monkeypatch.setattr(
        os,
        "register_at_fork",
        lambda *, after_in_child: after_fork.append(after_in_child),
        raising=False,
    )
    fetch = Counted()
    random = _RandomBytes(10, at_once=4, fetch=fetch)
    random.take()

    for call in after_fork:
        call()
    random.take()

    assert fetch.times == 2
