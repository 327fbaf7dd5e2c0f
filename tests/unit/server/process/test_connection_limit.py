"""The limit of connections, from the settings and the limit of open files."""

from __future__ import annotations

import pytest

from phoenix_compat.server.process import connection_limit
from phoenix_compat.server.process.connection_limit import connections_for
from tests.logged import logged_lines


@pytest.mark.parametrize(
    ("wanted", "allowed", "logged"),
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
def test_the_setting_is_limited_by_the_descriptors(
    wanted: int | None,
    allowed: int,
    logged: list[dict[str, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a setting the limit is what fits; a setting above that is lowered and logged."""
    monkeypatch.setattr(connection_limit, "open_file_limit", lambda: 1_024)

    with logged_lines() as lines:
        connections = connections_for(wanted, concurrency=8, processes=1)

    assert connections.max_connections == allowed
    assert [line.pop("event") for line in lines] == ["connections.limited"] * len(logged)
    assert [{**line, "log_level": "warning"} for line in lines] == [
        {**one, "log_level": "warning"} for one in logged
    ]
