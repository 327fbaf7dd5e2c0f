"""Finds Node.js and the npm packages of this folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

NODE_MODULES = Path(__file__).parent / "node_modules"


def node_package(name: str) -> tuple[str, Path]:
    """The node command and the folder of a package; skips the test if one of them is missing."""
    command, folder = shutil.which("node"), NODE_MODULES / name
    if command is not None and folder.is_dir():
        return command, folder
    reason = f"Node.js 20 or the npm package {name} is missing; `make test` installs both"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
