"""The steps of a task's life at which the server is killed, and how each is reached from outside.

A step posts what it needs and returns when its moment has come: True, or False when it did not
come. Most hold the provider's answer, so the moment lasts until the kill. Three are sweeps: there
the moment is drawn within a span in which much happens at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum

from tests.faults.server_run import Lane
from tests.faults.watcher import Deed, Moment, Sight

_START_SWEEP_S = (0.2, 1.2)
_LIFE_SWEEP_S = 2.5
_COMMIT_SWEEP_S = 0.015
_POST_SWEEP_S = 0.010
_FILE_SWEEP_S = 0.020
_POSTS = 5


class Step(StrEnum):
    """Where a task stands when the server is killed."""

    POSTING = "posts in flight, some answered"
    QUEUED = "queued, before the create"
    ASKED = "create sent, nothing made"
    MADE = "created, id not stored"
    LOOKING = "looking for a lost order"
    POLLING = "running, while polling"
    ENDED = "success, not yet asked for"
    TOLD = "success, answer on its way"
    COMMITTING = "success, around the commit"
    DOWNLOADING = "while downloading"
    STARTING = "while starting"
    ANYTIME = "at a random time"


async def _posting(lane: Lane) -> bool:
    orders = [asyncio.create_task(lane.post()) for _ in range(_POSTS)]
    await asyncio.wait(orders, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(lane.dice.uniform(0, _POST_SWEEP_S))
    # The rest end without an answer when the server dies.
    await lane.victim.kill()
    await asyncio.gather(*orders)
    return True


async def _queued(lane: Lane) -> bool:
    # "Too many" shuts the gate of all creates for a second: what is posted then has to wait.
    blocker = await lane.post("429x1")
    if blocker.prompt not in lane.lookout.asked_for:
        with lane.lookout.trap(lambda sight: sight.prompt == blocker.prompt) as trap:
            if not await lane.caught(trap):
                return False
    if not await lane.until_state(blocker, "queued"):
        return False
    order = await lane.post()
    return order.task_id is not None and order.prompt not in lane.lookout.asked_for


async def _held(
    lane: Lane, deed: Deed, moment: Moment, *faults: str, is_over: bool = False
) -> bool:
    """Post an order with these faults, and hold the exchange that is wanted, about it or a newer.

    Args:
        is_over: whether the exchange is about a prediction that has ended.
    """
    known = {order.prompt for order in lane.orders}

    def wanted(sight: Sight) -> bool:
        is_it = (sight.deed, sight.moment, sight.is_over) == (deed, moment, is_over)
        return is_it and sight.prompt not in known

    with lane.lookout.trap(wanted, holds=True) as trap:
        await lane.post(*faults)
        await lane.post_others()
        return await lane.caught(trap)


async def _asked(lane: Lane) -> bool:
    return await _held(lane, Deed.CREATE, Moment.ARRIVES)


async def _made(lane: Lane) -> bool:
    return await _held(lane, Deed.CREATE, Moment.ANSWERS)


async def _looking(lane: Lane) -> bool:
    with lane.lookout.trap(lambda sight: sight.deed is Deed.LIST, holds=True) as trap:
        await lane.post("502_afterx1")
        await lane.post_others()
        return await lane.caught(trap)


async def _polling(lane: Lane) -> bool:
    # It starts slowly, so that even a late first poll finds it running.
    return await _held(lane, Deed.POLL, Moment.ANSWERS, "slow_start")


async def _ended(lane: Lane) -> bool:
    return await _held(lane, Deed.POLL, Moment.ARRIVES, is_over=True)


async def _told(lane: Lane) -> bool:
    return await _held(lane, Deed.POLL, Moment.ANSWERS, is_over=True)


async def _committing(lane: Lane) -> bool:
    def wanted(sight: Sight) -> bool:
        return sight.deed is Deed.POLL and sight.moment is Moment.ANSWERS and sight.is_over

    with lane.lookout.trap(wanted) as trap:
        await lane.post()
        await lane.post_others()
        is_caught = await lane.caught(trap)
    await asyncio.sleep(lane.dice.uniform(0, _COMMIT_SWEEP_S))
    return is_caught


async def _downloading(lane: Lane) -> bool:
    # Half of the bytes and then silence, or none of them.
    if lane.dice.random() < 0.5:
        return await _held(lane, Deed.FILE, Moment.ARRIVES, is_over=True)
    with lane.lookout.trap(_is_half_sent) as trap:
        await lane.post("file_stalledx1")
        await lane.post_others()
        is_caught = await lane.caught(trap)
    await asyncio.sleep(lane.dice.uniform(0, _FILE_SWEEP_S))
    return is_caught


def _is_half_sent(sight: Sight) -> bool:
    return sight.deed is Deed.FILE and sight.moment is Moment.ANSWERS and "stalled" in sight.prompt


async def _starting(lane: Lane) -> bool:
    await lane.post()
    await lane.post_others()
    await lane.victim.kill()
    await lane.victim.start()
    await asyncio.sleep(lane.dice.uniform(*_START_SWEEP_S))
    lane.victim.check_alive()
    return True


async def _anytime(lane: Lane) -> bool:
    await lane.post()
    await lane.post_others()
    await asyncio.sleep(lane.dice.uniform(0, _LIFE_SWEEP_S))
    return True


REACH: Mapping[Step, Callable[[Lane], Awaitable[bool]]] = {
    Step.POSTING: _posting,
    Step.QUEUED: _queued,
    Step.ASKED: _asked,
    Step.MADE: _made,
    Step.LOOKING: _looking,
    Step.POLLING: _polling,
    Step.ENDED: _ended,
    Step.TOLD: _told,
    Step.COMMITTING: _committing,
    Step.DOWNLOADING: _downloading,
    Step.STARTING: _starting,
    Step.ANYTIME: _anytime,
}
"""How each step is reached, with a server that answers."""
