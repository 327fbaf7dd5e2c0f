"""The pytest plugin of phoenix_compat: options and fixtures that import the package when used.

It is outside the package because pytest imports it in every run wherever the package is installed,
and importing the package would import aiohttp too.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from phoenix_compat.conformance.faults.fixtures import FaultServer, FaultSessionHandle


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of `phoenix-compat conformance run`, with the prefix `--phoenix-`."""
    group = parser.getgroup("phoenix", "Phoenix Channels: test a server against Phoenix")
    group.addoption(
        "--phoenix-url",
        metavar="URL",
        help="A server that hosts the reference channel set, for example http://127.0.0.1:4001.",
    )
    group.addoption(
        "--phoenix-only",
        action="append",
        default=[],
        metavar="ID",
        help="Only these: an id, its beginning up to a slash, or a pattern with *. Repeatable.",
    )
    group.addoption(
        "--phoenix-except",
        action="append",
        default=[],
        metavar="ID",
        help="Skip these. Repeatable.",
    )
    group.addoption(
        "--phoenix-level",
        action="append",
        default=[],
        type=str.upper,
        choices=["MUST", "SHOULD", "PROFILE"],
        help="Only cases of this level. Repeatable; by default all.",
    )
    group.addoption(
        "--phoenix-profile",
        default="1.8.12",
        metavar="VERSION",
        help="The Phoenix version to match.",
    )
    group.addoption(
        "--phoenix-transport",
        default="both",
        choices=["websocket", "longpoll", "both"],
        help="The transport to test; by default both.",
    )
    group.addoption(
        "--phoenix-expected-failures",
        metavar="FILE",
        help="A file with the ids of cases that are known to fail, one per line.",
    )
    group.addoption(
        "--phoenix-timing",
        default="patient",
        choices=["strict", "patient"],
        help="strict: short time limits, for quick servers; by default patient.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and the suite if --phoenix-url is given."""
    config.addinivalue_line("markers", "phoenix: a conformance case run against --phoenix-url")
    if config.getoption("phoenix_url") is not None:
        missing = _missing_suite()
        if missing is not None:
            raise pytest.UsageError(missing)
        from phoenix_compat.conformance.pytest_plugin import PhoenixPlugin  # noqa: PLC0415 - above

        config.pluginmanager.register(PhoenixPlugin.of(config), "phoenix-suite")


def _missing_suite() -> str | None:
    """How to install the suite, if it is not there."""
    from phoenix_compat.errors import MissingExtraError  # noqa: PLC0415 - only what is used
    from phoenix_compat.extras import require  # noqa: PLC0415 - the same

    try:
        require("conformance")
    except MissingExtraError as error:
        return str(error)
    return None


@pytest.fixture(scope="session")
def fault_server() -> Iterator[FaultServer]:
    """A fault server for all tests of the run."""
    missing = _missing_suite()
    if missing is not None:
        pytest.fail(missing, pytrace=False)
    from phoenix_compat.conformance.faults.fixtures import FaultServer  # noqa: PLC0415 - above

    server = FaultServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def fault_session(
    fault_server: FaultServer, request: pytest.FixtureRequest
) -> Iterator[FaultSessionHandle]:
    """A fault session for this test; its connections are reset when the test ends."""
    with fault_server.session(request.node.name) as session:
        yield session


@pytest.fixture
def fault_lane(fault_session: FaultSessionHandle) -> FaultSessionHandle:
    """The former name of `fault_session`; deprecated."""
    message = "the fixture fault_lane is deprecated: use fault_session"
    warnings.warn(message, DeprecationWarning, stacklevel=2)
    return fault_session
