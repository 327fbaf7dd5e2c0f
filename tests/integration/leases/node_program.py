"""A node as a process of its own, so that tests can stop and kill it.

    python -m tests.integration.leases.node_program NAME DATABASE_URL PROVIDER_URL [LEASES]

LEASES is `quick`, or `standard` for those that servers have.
It prints a JSON line for each announcement, and one when it has started.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys

from phoenix_compat.tasks.model.task import Task
from phoenix_compat.tasks.provider.replicate.replicate import ReplicateProvider
from phoenix_compat.tasks.store.leases.lease_store import LeaseStore, Node
from phoenix_compat.tasks.store.opening import open_shared_task_store
from phoenix_compat.tasks.worker.dispatch.renewal import STANDARD
from phoenix_compat.tasks.worker.worker import Worker
from tests.integration.leases.shared_account import QUICK
from tests.integration.store_contract.engines import POSTGRES_SCHEMA
from tests.integration.worker.worker_harness import FAST
from tests.patience import patient


def say(**line: object) -> None:
    """Print a line for the test."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def announce(task: Task) -> None:
    """Print what clients are told."""
    say(task=task.id, status=task.status.value, progress=task.progress)


async def run(name: str, database_url: str, provider_url: str, leases_of: str) -> None:
    """Run tasks until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    provider = ReplicateProvider(
        token="r8_made_up", base_url=f"{provider_url}/v1", read_timeout_s=patient(5.0)
    )
    options, timeout_s = (QUICK, patient(0.4)) if leases_of == "quick" else (STANDARD, None)
    async with await open_shared_task_store(
        database_url, POSTGRES_SCHEMA, timeout_s=timeout_s
    ) as store:
        node = Node(name, f"host:{name}", "1.0")
        leases = LeaseStore(store, node, store.clock, lease_s=options.lease_s)
        worker = Worker(
            store,
            provider,
            announce,
            options=FAST,
            clock=store.clock,
            leases=leases,
            lease_options=options,
        )
        await worker.start()
        say(started=name)
        await stopped.wait()
        await worker.stop()
    await provider.close()
    say(stopped=name, counts=dict(worker.counts))


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], sys.argv[3], (*sys.argv, "quick")[4]))
