"""What is published is the same bytes when it is built twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.integration.operations.commands import ROOT

# ruff: noqa: S603 - our own build is run

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(600)]

_BUILD = """
import os, sys
from pathlib import Path
os.umask(int(sys.argv[2], 8))
from bundle import BUNDLE, build_one_file, version
from deb import build_deb
from release import build_python
from sbom import bill_of_materials
folder = Path(sys.argv[1])
build_python(folder, 1767571200)
build_deb(BUNDLE, folder, version(), 1767571200)
build_one_file(BUNDLE, folder / "one-file", 1767571200)
(folder / "bill.json").write_text(bill_of_materials(version(), 1767571200))
"""


def built(folder: Path, zone: str) -> Mapping[str, str]:
    """The hash of each file that is built into a folder, with another umask and time zone."""
    subprocess.run(
        [sys.executable, "-c", _BUILD, str(folder), "022" if zone == "UTC" else "077"],
        check=True,
        cwd=ROOT / "packaging",
        env={**os.environ, "TZ": zone},
    )
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_building_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    """Wheel, sdist, .deb, bill of materials, and the one file of one bundle do not depend on time,
    zone or umask. (The bundle itself is PyInstaller's; see docs/deploy.md.)"""
    first = built(tmp_path / "1", "UTC")
    second = built(tmp_path / "2", "Asia/Tokyo")
    bill: Any = json.loads((tmp_path / "1" / "bill.json").read_text())

    assert first == second
    assert len(first) == 5
    assert {"aiohttp", "cpython", "openssl"} <= {one["name"] for one in bill["components"]}
