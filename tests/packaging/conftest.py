"""Bare rooms with what `make binary` built."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator

import pytest

from phoenix_compat.version import __version__
from tests.integration.operations.commands import ROOT
from tests.packaging.bare_root import NOEXEC, TOOLS, Room, open_room

DIST = ROOT / "dist"
ONE_FILE = DIST / f"phoenix-compat-{__version__}-linux-{platform.machine()}"

PACKAGE = next(iter(DIST.glob(f"phoenix-compat_{__version__}_*.deb")), DIST / "phoenix-compat.deb")


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    """What these tests cannot do without; they are asked for by name, so it is an error."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing or os.geteuid() != 0:
        needed = f"these tests must run as root, and need: {' '.join(TOOLS)}; see CONTRIBUTING.md"
        pytest.fail(needed, pytrace=False)
    if not (ONE_FILE.exists() and PACKAGE.exists()):
        pytest.fail("nothing was built yet: make binary", pytrace=False)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """A bare root with what was built, in a folder that no test changes."""
    with open_room(tmp_path_factory.mktemp("house")) as opened:
        for built in (ONE_FILE, PACKAGE):
            shutil.copy(built, opened.root / "opt")
        yield opened


@pytest.fixture
def room(house: Room) -> Iterator[Room]:
    """The same without the processes and the temporary files of the test before."""
    yield house
    house.stop_all()
    house.done("sh", "-c", f"rm -rf /tmp/* {NOEXEC}/* /srv/*")
