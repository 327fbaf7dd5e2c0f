"""The newest npm `phoenix` through the whole job; `make test-long` has the older ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.test_phoenix_js import HERE, Run, node, run
from tests.interop.whole_job import TRANSPORTS, check_whole_job

__all__ = ["node", "run"]  # fixtures

pytestmark = pytest.mark.node


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_newest_phoenix_js(run: Run, tmp_path: Path, transport: str) -> None:
    """It creates a task, rejoins after a kill, gets the picture, and can join late."""
    await check_whole_job(run, tmp_path, HERE, "phoenix", transport)
