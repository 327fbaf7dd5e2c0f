"""PostgreSQL, Redis and NATS for benchmarks: new servers on loopback, on all cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from tests.benchmarks.benchmark import BenchmarkError
from tests.services.nats import OwnNats
from tests.services.own import OwnServer
from tests.services.postgres import DURABLE, OwnPostgres
from tests.services.redis import OwnRedis

T = TypeVar("T", bound=OwnServer)

Service = Callable[[Path], AbstractContextManager[str]]
"""Starts a server whose logs are in a folder; yields its URL."""


@contextmanager
def nats(folder: Path) -> Iterator[str]:
    """A NATS server."""
    with _running(lambda: OwnNats(folder)) as server:
        yield server.url


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A Redis server that stores nothing."""
    with _running(lambda: OwnRedis(folder)) as server:
        yield server.url


@contextmanager
def postgres(_folder: Path) -> Iterator[str]:
    """A PostgreSQL server that flushes to the disk, as by default."""
    with _running(lambda: OwnPostgres(settings=DURABLE)) as server:
        try:
            yield server.url
        finally:
            server.remove()


@contextmanager
def _running(make: Callable[[], T]) -> Iterator[T]:
    try:
        server = make()
    except pytest.skip.Exception as missing:
        raise BenchmarkError(str(missing)) from None
    server.start()
    try:
        yield server
    finally:
        server.kill()
