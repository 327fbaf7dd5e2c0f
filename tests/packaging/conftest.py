"""Fixtures: sandboxes with the packages that `make binary` has built."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator

import pytest

from phoenix_compat.version import __version__
from tests.integration.operations.commands import ROOT
from tests.packaging.sandbox import NOEXEC, TOOLS, Sandbox, open_sandbox

DIST = ROOT / "dist"
ONE_FILE = DIST / f"phoenix-compat-{__version__}-linux-{platform.machine()}"

PACKAGE = next(iter(DIST.glob(f"phoenix-compat_{__version__}_*.deb")), DIST / "phoenix-compat.deb")


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    """Fail when a required tool is missing: these tests run only on request."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing or os.geteuid() != 0:
        needed = f"these tests need root and the tools {' '.join(TOOLS)}; see CONTRIBUTING.md"
        pytest.fail(needed, pytrace=False)
    if not (ONE_FILE.exists() and PACKAGE.exists()):
        pytest.fail("there are no packages yet; run: make binary", pytrace=False)


@pytest.fixture(scope="module")
def built_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox with the built packages in /opt, shared by the tests of a module."""
    with open_sandbox(tmp_path_factory.mktemp("built_sandbox")) as opened:
        for built in (ONE_FILE, PACKAGE):
            shutil.copy(built, opened.root / "opt")
        yield opened


@pytest.fixture
def sandbox(built_sandbox: Sandbox) -> Iterator[Sandbox]:
    """The shared sandbox; processes and temporary files are removed after each test."""
    yield built_sandbox
    built_sandbox.stop_all()
    built_sandbox.check_output("sh", "-c", f"rm -rf /tmp/* {NOEXEC}/* /srv/*")
