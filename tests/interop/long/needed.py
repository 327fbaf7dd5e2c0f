"""What the long tests need and what may be missing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

HERE = Path(__file__).parent
"""The folder whose `node_modules` has the packages."""


def require_package(name: str) -> None:
    """Skip the test if an npm package is not installed here; in CI that is a failure."""
    if not (HERE / "node_modules" / name).is_dir():
        is_missing(f"npm {name} is missing: run `npm ci` in tests/interop/long")


def require_chromium() -> str:
    """The command of Chromium; skips the test without it."""
    command = shutil.which("chromium") or shutil.which("chromium-browser")
    if command is None:
        is_missing("Chromium is missing: apt-get install chromium")
    return str(command)


def is_missing(reason: str) -> None:
    """Skip the test; in CI it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
