"""Keeps the server's log lines out of what commands print: both use the streams of one process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs


@pytest.fixture(autouse=True)
def quiet_server() -> Iterator[None]:
    """Collect the log lines instead of printing them."""
    with capture_logs():
        yield
