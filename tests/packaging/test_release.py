"""The release files are reproducible."""

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

# ruff: noqa: S603 - the tests run our own build

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


def build_hashes(folder: Path, zone: str) -> Mapping[str, str]:
    """Build into a folder in this time zone, and with another umask. Returns the file hashes."""
    subprocess.run(
        [sys.executable, "-c", _BUILD, str(folder), "022" if zone == "UTC" else "077"],
        check=True,
        cwd=ROOT / "packaging",
        env={**os.environ, "TZ": zone},
    )
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_building_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    """Wheel, sdist, .deb, SBOM and one-file executable do not depend on time, time zone or umask.
    The bundle itself comes from PyInstaller and is built only once; see docs/deploy.md."""
    first = build_hashes(tmp_path / "1", "UTC")
    second = build_hashes(tmp_path / "2", "Asia/Tokyo")
    bill: Any = json.loads((tmp_path / "1" / "bill.json").read_text())

    assert first == second
    assert len(first) == 5
    names = [one["name"] for one in bill["components"]]
    assert {"aiohttp", "cpython", "cryptography", "pyjwt", "swagger-ui-dist"} <= set(names)
    assert names.count("openssl") == 2  # Python's, and the one in the package cryptography
