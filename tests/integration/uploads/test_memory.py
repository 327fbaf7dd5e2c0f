"""The memory of a server while photos of twelve megapixels arrive."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.integration.uploads.memory import WAYS, measure_all


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.timeout(180)  # about 10 s on an idle machine
async def test_photos_are_never_whole_in_memory(tmp_path: Path) -> None:
    """Ten at once take at most 2 MB each; one that is turned has its pixels in memory as well."""
    ways = [way for way in WAYS if way.name in {"raw", "multipart", "inline", "inline, turned"}]

    growths = [growth async for growth in measure_all(tmp_path, ways, 10, 3)]

    assert all(growth.is_ok for growth in growths), "\n".join(one.line() for one in growths)
