"""Several nodes keep events for the same webhooks."""

from __future__ import annotations

import pytest

from phoenix_compat.tasks.model.task import Task
from phoenix_compat.tasks.store.outbox import outbox
from phoenix_compat.tasks.store.outbox.deliveries import DeliveryStore
from phoenix_compat.tasks.store.outbox.outbox import EVENTS, Outbox, Subscription
from tests.integration.store_postgres.conftest import OpenNode
from tests.integration.worker.worker_harness import task_params


def _document(task: Task) -> dict[str, object]:
    return {"id": task.id}


async def test_nodes_together_keep_hardly_more_than_the_limit(
    open_node: OpenNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each counts again after some events, and so notices those of the others."""
    monkeypatch.setattr(outbox, "_RECOUNTED", 2)
    nodes = [await open_node() for _ in range(3)]
    for node in nodes:
        node.outbox = Outbox([Subscription("hook", frozenset(EVENTS))], _document, 10)

    for _ in range(20):
        for node in nodes:
            await node.add(task_params())

    (status,) = await DeliveryStore(nodes[0]).statuses(["hook"])
    assert 10 <= status.pending <= 10 + 2 * len(nodes)
    assert status.pending + status.dropped == 60
