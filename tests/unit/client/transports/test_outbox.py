"""Frames go out in order, within a bound."""

from __future__ import annotations

import asyncio

import pytest

from phoenix_compat.client import BufferFullError, ClientCounters, ClientLimits
from phoenix_compat.client.transports.connection import ConnectionLostError
from phoenix_compat.client.transports.outbox import Outbox
from tests.unit.client.fake_connection import FakeConnection


def outbox_of(limits: ClientLimits | None = None) -> tuple[Outbox, list[ConnectionLostError]]:
    """An outbox, and the failures that it reports."""
    failures: list[ConnectionLostError] = []
    return Outbox(limits or ClientLimits(), ClientCounters(), failures.append), failures


async def test_order_and_batches() -> None:
    """More frames than one batch has arrive in order; then no task is left."""
    outbox, _failures = outbox_of()
    connection = FakeConnection()
    outbox.open(connection)

    for n in range(200):
        outbox.put(str(n).encode())
    await outbox.flush()

    assert [await connection.sent() for _ in range(200)] == list(range(200))
    assert outbox.close() is None


async def test_the_bound() -> None:
    """What waits for a connection that takes nothing is bounded; heartbeats and joins may pass."""
    outbox, _failures = outbox_of(ClientLimits(max_unsent_bytes=10))
    connection = FakeConnection()
    connection.may_send.clear()
    outbox.open(connection)
    outbox.put(b"123456")
    await asyncio.sleep(0)  # it is being sent
    outbox.put(b"7890")

    with pytest.raises(BufferFullError, match="max_unsent_bytes"):
        outbox.put(b"1")
    outbox.put(b"2", is_limited=False)

    connection.may_send.set()
    await outbox.flush()
    outbox.put(b"3")
    await outbox.flush()
    assert [await connection.sent() for _ in range(4)] == [123456, 7890, 2, 3]


async def test_a_failure_is_reported() -> None:
    """It does not raise in a task that nobody awaits."""
    outbox, failures = outbox_of()
    connection = FakeConnection()
    connection.fails = True
    outbox.open(connection)

    outbox.put(b"1")
    await outbox.flush()

    assert [lost.reason for lost in failures] == ["cannot write"]


async def test_close_drops_what_waits() -> None:
    """The next connection begins empty."""
    outbox, _failures = outbox_of()
    blocked, after = FakeConnection(), FakeConnection()
    blocked.may_send.clear()
    outbox.open(blocked)
    outbox.put(b"1")
    await asyncio.sleep(0)

    task = outbox.close()
    outbox.put(b"2")
    outbox.open(after)
    outbox.put(b"3")
    await outbox.flush()

    assert task is not None
    await asyncio.wait([task])
    assert (await after.sent(), after.has_sent_all, blocked.has_sent_all) == (3, True, True)
