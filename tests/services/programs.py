"""Finds the programs of the services; what is missing is skipped by name, and in CI it fails."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Sequence
from contextlib import closing

import pytest


def program(name: str, package: str, folders: Sequence[str] = ()) -> str:
    """The path of a program; skips the test, or fails in CI, if it is not installed.

    Args:
        package: the Debian package that has it.
        folders: where to look besides PATH and the folders of system programs.
    """
    places = (os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", *folders)
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is not None:
        return found
    reason = f"{name} is missing; install the Debian package {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nobody listens now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
