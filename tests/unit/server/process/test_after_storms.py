"""When memory is given back after many clients have gone."""

from __future__ import annotations

import asyncio

import pytest

from phoenix_compat.accept import Connections
from phoenix_compat.server.process import after_storms
from phoenix_compat.server.process.after_storms import MANY, AfterStorms, release_free_memory


@pytest.mark.parametrize(
    ("peak", "opens", "times"),
    [
        (MANY, [0, 0], 1),
        (MANY, [0, 0, 0, 0], 1),  # once for each storm
        (4 * MANY, [MANY, MANY], 1),
        (4 * MANY, [MANY + 1, MANY + 1], 0),  # too many are still there
        (4 * MANY, [900, 600, 300], 0),  # they are still going
        (MANY - 1, [0, 0], 0),  # not a storm
    ],
)
async def test_memory_is_given_back_once_most_clients_have_gone(
    monkeypatch: pytest.MonkeyPatch, peak: int, opens: list[int], times: int
) -> None:
    """When nobody goes any more, and at most a quarter of many is left."""
    released: list[int] = []
    monkeypatch.setattr(after_storms, "release_free_memory", lambda: released.append(1))
    connections = Connections(10 * MANY)
    connections.peak = connections.open = peak
    storms = AfterStorms(connections)

    for connections.open in opens:
        storms._check()
        storms.stop()

    assert (storms.times, len(released)) == (times, times)


async def test_it_looks_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every `CHECK_S`, by one timer."""
    monkeypatch.setattr(after_storms, "CHECK_S", 0.01)
    looks: list[int] = []
    storms = AfterStorms(Connections(1))
    look = storms._check

    def counted() -> None:
        looks.append(1)
        look()

    monkeypatch.setattr(storms, "_check", counted)

    storms.start()
    while len(looks) < 3:  # noqa: ASYNC110 - it sets no event
        await asyncio.sleep(0.001)
    storms.stop()

    assert storms._timer is None


def test_releasing_memory_changes_nothing_else() -> None:
    """It is called while clients are connected."""
    release_free_memory()
