"""What waits to be sent: in order, in batches, bounded."""

from __future__ import annotations

import asyncio

from phoenix_compat.cluster.brokers.drivers.send_queue import SendQueue


async def test_all_of_a_tick_is_one_batch() -> None:
    """In the order in which it was put."""
    queue = SendQueue()
    queue.open()
    taking = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    for number in range(3):
        assert queue.put("all", b"%d" % number)

    assert await taking == [("all", b"0"), ("all", b"1"), ("all", b"2")]


async def test_what_does_not_fit_is_refused() -> None:
    """Until what waits was taken; and everything while the queue is closed."""
    queue = SendQueue(1_000)
    assert not queue.put("all", b"")
    queue.open()
    assert queue.put("all", bytes(800))
    assert not queue.put("all", bytes(200))
    assert len(await queue.take()) == 1
    assert queue.put("all", bytes(200))

    assert queue.close() == 1
    assert not queue.put("all", b"")


async def test_what_waits_at_the_end_is_dropped() -> None:
    """The next opening begins with nothing."""
    queue = SendQueue()
    queue.open()
    queue.put("all", b"old")
    queue.close()
    queue.open()
    queue.put("all", b"new")

    assert await queue.take() == [("all", b"new")]
