"""The sender: what is in flight is bounded, and many messages cost no turn of the loop each."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phoenix_compat.transports.asgi.sender import MAX_IN_FLIGHT_BYTES, Sender


def split(data: bytes) -> list[str | bytes]:
    """One message for each byte."""
    return [chr(byte) for byte in data]


class Sends:
    """Records the events; each may wait."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, event: Any) -> None:
        await self.open.wait()
        self.texts.append(event.get("text") or f"close {event['code']}")


async def test_many_messages_in_one_turn() -> None:
    """Messages that wait are sent without a turn of the loop between them."""
    sends = Sends()
    sender = Sender(sends, split, lambda: None)
    running = asyncio.create_task(sender.run())
    await asyncio.sleep(0)

    for _ in range(100):
        sender.write(b"ab")
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert len(sends.texts) == 200
    assert (sender.sent, sender.is_sending) == (200, False)
    running.cancel()


async def test_what_is_in_flight_is_bounded() -> None:
    """Beyond the bound nothing is taken, until the server has taken all of it."""
    sends = Sends()
    sends.open.clear()
    emptied = asyncio.Event()
    sender = Sender(sends, split, emptied.set)
    running = asyncio.create_task(sender.run())
    taken = sender.write(b"x" * MAX_IN_FLIGHT_BYTES)
    refused = sender.write(b"y")
    await asyncio.sleep(0)

    sends.open.set()
    await emptied.wait()

    assert (taken, refused) == (MAX_IN_FLIGHT_BYTES, 0)
    assert sender.sent == MAX_IN_FLIGHT_BYTES
    assert sender.write(b"y") == 1
    running.cancel()


async def test_the_close_comes_last() -> None:
    """It is sent after everything, whatever the bound, and ends the sender."""
    sends = Sends()
    sender = Sender(sends, split, lambda: None)
    sender.write(b"a")
    sender.close(b"bc", 1012)

    await sender.run()

    assert sends.texts == ["a", "b", "c", "close 1012"]


async def test_an_error_of_send_ends_it() -> None:
    """The error reaches the caller."""

    async def failing(_event: Any) -> None:
        raise OSError("gone")

    sender = Sender(failing, split, lambda: None)
    sender.write(b"a")

    with pytest.raises(OSError, match="gone"):
        await sender.run()


async def test_the_exact_bound() -> None:
    """One byte below it more is taken, at the bound nothing; what was sent makes room."""
    sends = Sends()
    sends.open.clear()
    sender = Sender(sends, split, lambda: None)
    running = asyncio.create_task(sender.run())
    before = sender.is_sending

    taken = [sender.write(data) for data in (b"x" * (MAX_IN_FLIGHT_BYTES - 1), b"yz", b"!")]

    assert (before, sender.is_sending, sender.sent) == (False, True, 0)
    assert taken == [MAX_IN_FLIGHT_BYTES - 1, 2, 0]
    running.cancel()


async def test_what_was_sent_is_not_in_flight_any_more() -> None:
    """Each message counts as sent, the last ones before a close too."""
    sends = Sends()
    sender = Sender(sends, split, lambda: None)
    running = asyncio.create_task(sender.run())
    sender.write(b"ab")
    sender.write(b"c")

    sender.close(b"de", 1001)
    sending = sender.is_sending
    await running

    assert (sending, sender.is_sending, sender.sent) == (True, False, 5)
    assert sends.texts == ["a", "b", "c", "d", "e", "close 1001"]
