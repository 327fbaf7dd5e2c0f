"""How many connections there may be, what is counted, and how seldom it is told."""

from __future__ import annotations

import errno
from contextlib import ExitStack

import pytest

from phoenix_compat.accept import Connections
from phoenix_compat.accept.capacity import room_for_connections
from phoenix_compat.accept.connections import FREE_FILES
from tests.logged import logged_lines


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(
    ("limit", "concurrency", "processes", "room"),
    [
        (256, 8, 1, 176),  # 64 are kept back, 16 are for those beyond the limit
        (1_024, 8, 1, 944),
        (1_024, 100, 1, 760),  # two more for each task in hand beyond eight
        (256, 8, 2, 58),  # a third, after a stream to and one from the other process
        (64, 8, 1, 8),
    ],
)
def test_the_room_leaves_what_all_else_needs(
    limit: int, concurrency: int, processes: int, room: int
) -> None:
    """Descriptors for store, files, tasks and other processes come first."""
    assert room_for_connections(limit, concurrency=concurrency, processes=processes) == room


def test_files_being_sent_take_the_place_of_connections() -> None:
    """Beyond those that have descriptors of their own; at the limit no more are sent."""
    connections = Connections(max_connections=10)
    connections.open = 8
    with ExitStack() as files:
        for _ in range(FREE_FILES + 2):
            assert connections.has_room_for_file()
            files.enter_context(connections.sending_file())

        assert not connections.has_room_for_file()
        was_full = connections.is_full
    assert (was_full, connections.is_full) == (True, False)
    assert connections.counts["refused_files"] == 1


def test_a_file_can_always_be_sent_with_all_places_taken() -> None:
    """The descriptors that are kept back are for this."""
    connections = Connections(max_connections=1)
    connections.open = 1

    assert connections.is_full
    assert connections.has_room_for_file()


def test_a_thousand_refusals_are_one_line() -> None:
    """Ten seconds later there is a second, which says how many there were since; and never two
    lines in one second."""
    clock = Clock()
    connections = Connections(1, clock)
    with logged_lines() as lines:
        for _ in range(1_000):
            connections.refused()
            connections.not_accepted(OSError(errno.EMFILE, "Too many open files"))
        clock.now_s += 1.0
        connections.not_accepted(OSError(errno.EMFILE, "Too many open files"))
        clock.now_s += 10.0
        connections.refused()

    assert [(line["event"], line["times"]) for line in lines] == [
        ("connections.at_limit", 1),
        ("connections.not_accepted", 1_001),
        ("connections.at_limit", 1_000),
    ]
