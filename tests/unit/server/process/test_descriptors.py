"""How many connections the settings and the limit of open files give a process."""

from __future__ import annotations

import pytest

from phoenix_compat.server.process import descriptors
from phoenix_compat.server.process.descriptors import connections_for
from tests.logged import logged_lines


@pytest.mark.parametrize(
    ("wanted", "allowed", "told"),
    [
        (None, 944, []),
        (100, 100, []),
        (944, 944, []),
        (
            5_000,
            944,
            [{"wanted": 5_000, "max": 944, "open_file_limit": 1_024}],
        ),
    ],
)
def test_the_setting_goes_as_far_as_there_are_descriptors(
    wanted: int | None,
    allowed: int,
    told: list[dict[str, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without one there are as many connections as fit; one that is too large is lowered, aloud."""
    monkeypatch.setattr(descriptors, "open_file_limit", lambda: 1_024)

    with logged_lines() as lines:
        connections = connections_for(wanted, concurrency=8, processes=1)

    assert connections.max_connections == allowed
    assert [line.pop("event") for line in lines] == ["connections.limited"] * len(told)
    assert [{**line, "log_level": "warning"} for line in lines] == [
        {**one, "log_level": "warning"} for one in told
    ]
