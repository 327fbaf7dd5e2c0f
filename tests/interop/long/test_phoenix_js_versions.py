"""Older versions of npm `phoenix` through the whole job."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.long.needed import HERE, require_package
from tests.interop.test_phoenix_js import Run, node, run
from tests.interop.whole_job import TRANSPORTS, check_whole_job

__all__ = ["node", "run"]  # fixtures

pytestmark = [pytest.mark.long, pytest.mark.node, pytest.mark.timeout(240)]

PACKAGES = ("phoenix-1.3", "phoenix-1.5", "phoenix-1.6", "phoenix-1.7", "phoenix-1.8")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("name", PACKAGES)
async def test_older_phoenix_js(run: Run, tmp_path: Path, name: str, transport: str) -> None:
    """Each creates a task, rejoins after a kill, gets the picture, and can join late."""
    require_package(name)

    await check_whole_job(run, tmp_path, HERE, name, transport)
