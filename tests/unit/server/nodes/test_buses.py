"""The bus that the settings name."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from phoenix_compat.cluster import WorkerProcess
from phoenix_compat.cluster.brokers.addresses import inbox_of
from phoenix_compat.server.nodes.buses import make_bus
from phoenix_compat.server.process.settings import Settings


@pytest.fixture
def settings() -> Settings:
    """Settings with a shared database and a bus."""
    return Settings(
        database_url="postgresql://tasks@127.0.0.1:1/tasks", bus_url="redis://127.0.0.1:1"
    )


def test_the_processes_of_a_supervisor_have_inboxes_that_all_of_them_know(
    settings: Settings, tmp_path: Path
) -> None:
    """Each has its own, which stays the same when it is started again; its node does not."""
    first = WorkerProcess(
        node=0, size=3, folder=str(tmp_path), port=1, secret_key_base="secret of this supervisor"
    )
    processes = [msgspec.structs.replace(first, node=number) for number in range(3)]
    nodes = [make_bus(settings, process).node for process in processes]
    again = [make_bus(settings, process).node for process in processes]

    assert len({inbox_of(node) for node in nodes}) == 3
    assert [inbox_of(node) for node in nodes] == [inbox_of(node) for node in again]
    assert nodes != again


def test_other_servers_have_other_inboxes(settings: Settings, tmp_path: Path) -> None:
    """Those of another supervisor, and a process that is alone."""
    buses = [
        make_bus(
            settings,
            WorkerProcess(node=0, size=2, folder=str(tmp_path), port=1, secret_key_base=secret),
        )
        for secret in ("secret of one", "secret of another")
    ]
    assert len({inbox_of(bus.node) for bus in [*buses, make_bus(settings)]}) == 3
