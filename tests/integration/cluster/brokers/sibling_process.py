"""A process of a machine, with a bus over Redis: `sibling_process.py URL FOLDER PREFIX N INBOX…`.

It prints the number of its node once it hears itself, and casts numbers until it is killed.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from phoenix_compat.cluster.brokers import BrokerBus
from phoenix_compat.cluster.brokers.drivers.redis_broker import RedisBroker
from phoenix_compat.cluster.siblings import SharedBroker
from tests.integration.cluster.brokers.two_nodes import CAST_EVERY_S


async def _run(url: str, folder: str, prefix: str, number: str, *texts: str) -> None:
    inboxes = [int(text) for text in texts]
    shared = SharedBroker(RedisBroker(url), Path(folder), prefix=prefix, inboxes=inboxes)
    async with BrokerBus(shared, prefix=prefix, inbox=inboxes[int(number)]) as bus:
        assert await bus.catch_up()
        sys.stdout.write(f"{bus.node}\n")
        sys.stdout.flush()
        while True:
            bus.cast("noise", bytes(1_000))
            await asyncio.sleep(CAST_EVERY_S)


if __name__ == "__main__":
    asyncio.run(_run(*sys.argv[1:]))
