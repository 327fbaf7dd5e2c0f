"""What a channel has received: in order, bounded, and safe to cancel."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from phoenix_compat.client import ClientCounters, ClientLimits, MisuseError
from phoenix_compat.client.channels.inbox import Inbox
from phoenix_compat.protocol.message import Message


def message(n: int) -> Message:
    """A message with a number."""
    return Message(None, None, "room:a", "msg", n)


def filled(limits: ClientLimits, count: int, size_bytes: int = 1) -> tuple[Inbox, ClientCounters]:
    """An inbox to which so many messages came."""
    counters = ClientCounters()
    inbox = Inbox(limits, counters)
    for n in range(count):
        inbox.put(message(n), size_bytes)
    inbox.end()
    return inbox, counters


async def rest(inbox: Inbox) -> list[Any]:
    """The payloads that are left."""
    payloads = []
    while (one := await inbox.get()) is not None:
        payloads.append(one.payload)
    return payloads


async def test_the_oldest_messages_are_dropped() -> None:
    """No more messages are kept than the limit says; what is lost is counted."""
    inbox, counters = filled(ClientLimits(max_queued_messages=3), 10)

    assert await rest(inbox) == [7, 8, 9]
    assert counters.messages_dropped == 7


async def test_large_messages_are_dropped_earlier() -> None:
    """The limit in bytes counts too."""
    inbox, counters = filled(ClientLimits(max_queued_bytes=100), 10, 40)

    assert await rest(inbox) == [8, 9]
    assert counters.messages_dropped == 8


async def test_a_reader_that_is_too_slow_is_warned_once(caplog: pytest.LogCaptureFixture) -> None:
    """Only if somebody reads: an app that only has callbacks loses nothing."""
    limits = ClientLimits(max_queued_messages=1)
    inbox = Inbox(limits, ClientCounters())
    with caplog.at_level(logging.WARNING):
        inbox.put(message(0), 1)
        inbox.put(message(1), 1)
        unread = len(caplog.records)
        await inbox.get()
        for n in range(4):
            inbox.put(message(n), 1)

    assert (unread, len(caplog.records)) == (0, 1)


async def test_a_cancelled_reader_loses_nothing() -> None:
    """The next one gets the message."""
    inbox = Inbox(ClientLimits(), ClientCounters())
    reader = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)

    inbox.put(message(1), 1)
    reader.cancel()
    await asyncio.wait([reader])
    inbox.end()

    assert reader.cancelled()
    assert await rest(inbox) == [1]


async def test_one_reader_at_a_time() -> None:
    """A second one would get every other message."""
    inbox = Inbox(ClientLimits(), ClientCounters())
    reader = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)

    with pytest.raises(MisuseError, match="one task at a time"):
        await inbox.get()

    inbox.end()
    assert await reader is None


async def test_callbacks_take_their_event() -> None:
    """All of them, in order; other events and removed callbacks leave the message to the queue."""
    inbox = Inbox(ClientLimits(), ClientCounters())
    called: list[Any] = []
    removes = [inbox.on("msg", lambda n, name=name: called.append((name, n))) for name in "ab"]

    inbox.put(message(1), 1)
    for remove in removes:
        remove()
    inbox.put(message(2), 1)
    inbox.end()

    assert called == [("a", 1), ("b", 1)]
    assert await rest(inbox) == [2]
