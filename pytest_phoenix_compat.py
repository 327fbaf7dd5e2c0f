"""The pytest plugin of phoenix_compat: options and fixtures, and nothing else until one is used.

It stands outside of the package because pytest imports it in every run of everyone who has the
package installed, and importing the package brings aiohttp along.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from phoenix_compat.conformance.faults.fixtures import FaultLane, FaultServer


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of `phoenix-compat conformance run`, by the same names."""
    group = parser.getgroup("phoenix", "Phoenix Channels: test a server against Phoenix")
    group.addoption(
        "--phoenix-url",
        metavar="URL",
        help="A server that hosts the reference channel set, as http://127.0.0.1:4001.",
    )
    group.addoption(
        "--phoenix-only",
        action="append",
        default=[],
        metavar="ID",
        help="These cases: an id, its beginning up to a slash, or a pattern with *. Repeatable.",
    )
    group.addoption(
        "--phoenix-except", action="append", default=[], metavar="ID", help="Not these. Repeatable."
    )
    group.addoption(
        "--phoenix-level",
        action="append",
        default=[],
        type=str.upper,
        choices=["MUST", "SHOULD", "PROFILE"],
        help="Cases of this level. Repeatable; all without.",
    )
    group.addoption(
        "--phoenix-profile", default="1.8.12", metavar="VERSION", help="The version to be held to."
    )
    group.addoption(
        "--phoenix-transport", default="both", choices=["websocket", "longpoll", "both"]
    )
    group.addoption(
        "--phoenix-expected-failures",
        metavar="FILE",
        help="A file of ids, a line each, that are known to fail.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker; bring the suite in when a server is named."""
    config.addinivalue_line("markers", "phoenix: a case of --phoenix-url")
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
    """A fault server for all tests of the run, for a client's own tests."""
    missing = _missing_suite()
    if missing is not None:
        pytest.fail(missing, pytrace=False)
    from phoenix_compat.conformance.faults.fixtures import FaultServer  # noqa: PLC0415 - above

    server = FaultServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def fault_lane(fault_server: FaultServer, request: pytest.FixtureRequest) -> Iterator[FaultLane]:
    """A lane of the fault server for this test alone; its connections end with the test."""
    with fault_server.lane(request.node.name) as lane:
        yield lane
