"""The PostgreSQL that tests start: databases of their own, crashes, and nothing left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest

from tests.patience import patient
from tests.services.postgres import Databases, OwnPostgres

_ROOT = Path(__file__).parents[3]
_USER = """
import pathlib, sys, time
from tests.services.postgres import OwnPostgres, shared_postgres

class Factory:
    def getbasetemp(self):
        return pathlib.Path(sys.argv[1])

with shared_postgres(Factory()) as port:
    place = pathlib.Path(sys.argv[1], "service-postgres/place").read_text()
    own = OwnPostgres(pathlib.Path(place, "pristine"))
    own.start()
    print(own.port, flush=True)
    time.sleep(600)
"""


async def _value(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url, timeout=patient(5.0))
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_each_test_has_a_database_that_is_empty_and_only_reachable_from_here(
    postgres_url: str,
) -> None:
    """Commits are acknowledged as in production, only the disk does not flush."""
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"

    assert await _value(postgres_url, tables) == 0
    assert await _value(postgres_url, "SHOW listen_addresses") == "127.0.0.1"
    assert await _value(postgres_url, "SHOW synchronous_commit") == "on"
    with pytest.raises(asyncpg.InvalidPasswordError):
        await _value(postgres_url.replace("kept-secret", "guessed"), tables)


async def test_an_own_server_keeps_what_was_committed_when_it_crashes(
    own_postgres: OwnPostgres,
) -> None:
    """It starts again on its port, so that clients find it."""
    await _value(own_postgres.url, "CREATE TABLE kept AS SELECT 1 AS number")

    await own_postgres.restart()
    after_a_crash = await _value(own_postgres.url, "SELECT number FROM kept")
    own_postgres.stop()
    own_postgres.start()
    after_a_stop = await _value(own_postgres.url, "SELECT number FROM kept")

    assert (after_a_crash, after_a_stop) == (1, 1)


async def test_a_server_that_is_paused_does_not_answer(own_postgres: OwnPostgres) -> None:
    """Not even on a connection that is open; it goes on where it was."""
    connection = await asyncpg.connect(own_postgres.url)
    try:
        own_postgres.pause()
        with pytest.raises(TimeoutError):
            await connection.fetchval("SELECT 1", timeout=0.1)
        own_postgres.resume()
        assert await connection.fetchval("SELECT 2", timeout=patient(5.0)) == 2
    finally:
        await connection.close()


def test_the_shared_server_ends_when_the_run_is_killed(
    tmp_path: Path, postgres_databases: Databases
) -> None:
    """So do a server of one test's own and the folders of both, although no fixture has ended."""
    del postgres_databases  # skips the test where PostgreSQL is not installed
    command = [sys.executable, "-c", _USER, str(tmp_path)]
    alone = {name: value for name, value in os.environ.items() if name != "PYTEST_XDIST_WORKER"}
    user = subprocess.Popen(  # noqa: S603 - our own program
        command, stdout=subprocess.PIPE, cwd=_ROOT, env=alone
    )
    try:
        assert user.stdout is not None
        with user.stdout:
            own_port = int(user.stdout.readline())
        folder = Path((tmp_path / "service-postgres/place").read_text())
        assert (folder / "data/postmaster.pid").exists()

        user.send_signal(signal.SIGKILL)
        user.wait()

        deadline_s = time.monotonic() + patient(10.0)
        while folder.exists() and time.monotonic() < deadline_s:
            time.sleep(0.02)
        assert not folder.exists()
        with (
            pytest.raises(ConnectionRefusedError),
            socket.create_connection(("127.0.0.1", own_port)),
        ):
            pass
    finally:
        user.kill()
        user.wait()
