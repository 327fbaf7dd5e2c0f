"""Each test of this folder that takes `engine` runs once for each engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.bus_contract.engines import ENGINES, Engine


@pytest.fixture(params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """The engine, with a server, folder or prefix of this test's own."""
    with ENGINES[request.param](request) as made:
        yield made
