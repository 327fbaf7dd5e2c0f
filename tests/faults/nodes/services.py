"""The services of a run outside of pytest."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.faults.nodes.installation import Services
from tests.services.postgres import DURABLE, OwnPostgres
from tests.services.redis import OwnRedis


@asynccontextmanager
async def open_services(folder: Path) -> AsyncIterator[Services]:
    """A PostgreSQL and a Redis of this run, stopped when the block ends."""
    postgres = OwnPostgres(settings=DURABLE)
    redis = OwnRedis(folder)
    try:
        postgres.start()
        redis.start()
        yield Services(postgres, redis)
    finally:
        redis.kill()
        postgres.remove()
