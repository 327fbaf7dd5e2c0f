"""Tests of the servers that tests start."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.patience import patient
from tests.services.nats import OwnNats, _command, _is_ready, _program
from tests.services.own import OwnServer
from tests.services.shared import Start, shared_server


def test_the_shared_server_answers(nats_url: str) -> None:
    """A test gets the URL of a server that runs."""
    assert _is_ready(int(nats_url.rpartition(":")[2]))


def test_users_share_one_server_and_the_last_one_ends_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A second user gets the same server, which ends after both."""

    def prepare(folder: Path, port: int) -> Start:
        assert list(folder.iterdir()) == []
        return Start(_command(_program(), port), 15)

    with shared_server(tmp_path_factory, "of-a-test", prepare, _is_ready) as first:
        with shared_server(tmp_path_factory, "of-a-test", prepare, _is_ready) as second:
            assert second == first
        assert _is_ready(first)
    deadline = time.monotonic() + patient(5.0)
    while _is_ready(first):
        assert time.monotonic() < deadline, "the server has outlived its users"
        time.sleep(0.01)


def test_an_own_server_is_restarted_on_its_port(own_nats: OwnNats) -> None:
    """A test may kill its server, which is away then, and start it again."""
    own_nats.kill()
    assert not _is_ready(own_nats.port)

    asyncio.run(own_nats.restart())

    assert _is_ready(own_nats.port)


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    """The error has what the program has printed."""
    server = OwnServer((_program(), "--no-such-option"), lambda: False, tmp_path / "nats.log")
    with pytest.raises(RuntimeError, match="no-such-option"):
        server.start()
