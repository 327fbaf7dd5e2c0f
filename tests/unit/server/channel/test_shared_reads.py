"""Reads that are shared by those who ask at the same time."""

from __future__ import annotations

import asyncio

import pytest

from phoenix_compat.server.channel.shared_reads import SharedReads
from tests.patience import patient


class Slow:
    """Reads that end when the test wants.

    Attributes:
        begun: the keys, in order.
        value: what the next read finds when it begins.
    """

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.value = 0
        self.may_end = asyncio.Event()
        self.shared = SharedReads(self.read)

    async def read(self, key: str) -> int:
        """Find the value of this moment."""
        self.begun.append(key)
        found = self.value
        await self.may_end.wait()
        if found < 0:
            raise ValueError(key)
        return found

    async def begins(self, count: int) -> None:
        """Wait until so many reads have begun."""
        async with asyncio.timeout(patient(5.0)):
            while len(self.begun) < count:  # noqa: ASYNC110 - a list sets no event
                await asyncio.sleep(0)


async def test_a_crowd_needs_two_reads() -> None:
    """The first one reads at once; all who come meanwhile share the next, and see what is new."""
    slow = Slow()
    first = asyncio.create_task(slow.shared.get("a"))
    await slow.begins(1)
    slow.value = 1

    crowd = [asyncio.create_task(slow.shared.get("a")) for _ in range(2_000)]
    await asyncio.sleep(0)
    slow.may_end.set()

    assert await first == 0
    assert await asyncio.gather(*crowd) == [1] * 2_000
    assert slow.begun == ["a", "a"]
    assert len(slow.shared) == 0


async def test_others_do_not_wait() -> None:
    """Each key has its own reads."""
    slow = Slow()
    asks = [asyncio.create_task(slow.shared.get(key)) for key in ("a", "b")]
    await slow.begins(2)
    slow.may_end.set()

    assert await asyncio.gather(*asks) == [0, 0]


async def test_who_leaves_takes_nothing_from_the_others() -> None:
    """A client that disconnects while it waits."""
    slow = Slow()
    leaving, staying = (asyncio.create_task(slow.shared.get("a")) for _ in range(2))
    await slow.begins(1)
    leaving.cancel()
    slow.may_end.set()

    assert await staying == 0
    assert leaving.cancelled() or leaving.cancelling()


async def test_an_error_is_everybodys_and_the_next_read_begins_anew() -> None:
    """Also when nobody waits for it any more."""
    slow = Slow()
    slow.value = -1
    slow.may_end.set()

    asks = await asyncio.gather(slow.shared.get("a"), slow.shared.get("a"), return_exceptions=True)

    assert [type(one) for one in asks] == [ValueError, ValueError]
    slow.value = 2
    assert await slow.shared.get("a") == 2


@pytest.mark.filterwarnings("error")
async def test_an_error_that_nobody_waits_for_is_dropped() -> None:
    """It is no business of the event loop."""
    slow = Slow()
    slow.value = -1
    ask = asyncio.create_task(slow.shared.get("a"))
    await slow.begins(1)
    ask.cancel()
    slow.may_end.set()
    async with asyncio.timeout(patient(5.0)):
        while len(slow.shared):  # noqa: ASYNC110 - the same
            await asyncio.sleep(0)
