"""Events arrive at least once and in order for each task, whatever the receiver does."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.outgoing.sender import Outcome, WebhookSender
from phoenix_compat.tasks.store.outbox.deliveries import Delivery
from phoenix_compat.tasks.store.statements import outbox_queries
from tests.integration.outgoing.outgoing_harness import open_outgoing
from tests.integration.outgoing.receiver import Received, Receiver
from tests.integration.store.unreadable_harness import until
from tests.integration.worker.worker_harness import task_params

LIFE = ["task.queued", "task.running", "task.completed"]


async def test_every_event_arrives_signed_and_in_order(path: Path) -> None:
    """Once each, with the task as webhooks get it: without its input."""
    async with Receiver.opened() as receiver, open_outgoing(path, receiver.url) as outgoing:
        tasks = [await outgoing.live() for _ in range(10)]
        await receiver.until(lambda: len(receiver.events) == 30)

        assert all(receiver.of_task(task.id) == LIFE for task in tasks)
        assert max(Counter(event.id for event in receiver.events).values()) == 1
        assert "input_data" not in receiver.events[0].data
        assert receiver.events[-1].data["state"] == "completed"

        async def is_empty() -> bool:
            return (await outgoing.status()).pending == 0

        await until(is_empty)
        status = await outgoing.status()
        assert (status.delivered, status.failed, status.disabled_at) == (30, 0, None)


async def test_only_the_wanted_events_are_kept(path: Path) -> None:
    """The first event of a retried task comes after the last one of its failure."""
    async with (
        Receiver.opened() as receiver,
        open_outgoing(path, receiver.url, events=frozenset({"failed", "queued"})) as outgoing,
    ):
        task = await outgoing.live(TaskStatus.FAILED)
        await outgoing.store.retry(task.id, task_params())
        outgoing.dispatcher.wake()
        await receiver.until(lambda: len(receiver.events) == 3)

        assert receiver.of_task(task.id) == ["task.queued", "task.failed", "task.queued"]


async def test_a_receiver_that_is_down_for_ten_minutes_gets_everything(path: Path) -> None:
    """Ten minutes of hurried time, in which tasks go on."""
    async with Receiver.opened() as receiver, open_outgoing(path, receiver.url) as outgoing:
        await receiver.close()
        tasks = [await outgoing.live() for _ in range(5)]

        async def are_over() -> bool:
            return outgoing.clock.elapsed_s > 600.0

        await until(are_over)
        tasks.append(await outgoing.live())
        assert outgoing.dispatcher.counts.failed_attempts >= 5
        await receiver.open()
        await receiver.until(lambda: len({event.id for event in receiver.events}) == 18)

        assert all(receiver.of_task(task.id) == LIFE for task in tasks)


async def test_a_receiver_that_answers_500_or_hangs_gets_everything(path: Path) -> None:
    """A task whose event is refused waits alone; the events of others pass it."""
    async with (
        Receiver.opened() as receiver,
        open_outgoing(path, receiver.url, is_started=False) as outgoing,
    ):
        broken = await outgoing.live()
        hanging = await outgoing.live()
        answers: dict[str, list[int]] = {broken.id: [500, 503, 301], hanging.id: [0, 0]}

        def answer(event: Received) -> int:
            left = answers.get(event.task_id, [])
            return left.pop(0) if left else 200

        receiver.answer = answer
        outgoing.dispatcher.start()
        fine = [await outgoing.live() for _ in range(5)]
        await receiver.until(lambda: len({event.id for event in receiver.events}) == 21)

        assert all(receiver.of_task(task.id) == LIFE for task in (broken, hanging, *fine))
        assert answers == {broken.id: [], hanging.id: []}


async def test_after_a_day_it_is_disabled_until_it_is_replayed(path: Path) -> None:
    """The operator sees why, nothing is lost, and a replay delivers it in order."""
    async with (
        Receiver.opened() as receiver,
        open_outgoing(path, receiver.url, factor=86_400.0) as outgoing,
    ):
        receiver.answer = lambda _event: 500
        first = await outgoing.live()

        async def is_disabled() -> bool:
            return (await outgoing.status()).disabled_at is not None

        await until(is_disabled)
        later = await outgoing.live()
        status = await outgoing.status()
        assert status.reason == "it took no event for a day; the last attempt: answered 500"
        assert status.pending + status.failed == 6
        attempts = receiver.attempts
        await asyncio.sleep(0.05)
        assert receiver.attempts == attempts

        receiver.answer = lambda _event: 200
        assert await outgoing.deliveries.replay("default") == 6
        outgoing.dispatcher.wake()
        await receiver.until(lambda: len({event.id for event in receiver.events}) == 6)
        assert receiver.of_task(first.id) == receiver.of_task(later.id) == LIFE
        assert (await outgoing.status()).disabled_at is None


async def test_a_receiver_that_wants_no_more_is_disabled_at_once(path: Path) -> None:
    """410 Gone, as Standard Webhooks says."""
    async with Receiver.opened() as receiver, open_outgoing(path, receiver.url) as outgoing:
        receiver.answer = lambda _event: 410
        await outgoing.live()

        async def is_disabled() -> bool:
            return (await outgoing.status()).disabled_at is not None

        await until(is_disabled)
        assert "410" in ((await outgoing.status()).reason or "")


async def test_a_private_address_is_refused(path: Path) -> None:
    """Also behind a name; the error names the setting."""
    async with Receiver.opened() as receiver:
        url = receiver.url.replace("127.0.0.1", "localhost")
        async with open_outgoing(path, url, allow_private=False) as outgoing:
            await outgoing.live()

            async def has_failed() -> bool:
                listed = await outgoing.deliveries.list("default", 1)
                return listed[0]["error"] is not None

            await until(has_failed)
            [listed] = await outgoing.deliveries.list("default", 1)
            expected = "localhost has a private address; it needs allow_private = true"
            assert listed["error"] == expected
        assert receiver.attempts == 0


async def test_events_beyond_the_limit_are_dropped_and_counted(path: Path) -> None:
    """Tasks go on, and what was kept still arrives."""
    async with (
        Receiver.opened() as receiver,
        open_outgoing(path, receiver.url, is_started=False, max_deliveries=4) as outgoing,
    ):
        tasks = [await outgoing.live() for _ in range(3)]
        status = await outgoing.status()
        assert (status.pending, status.dropped) == (4, 5)
        assert {task.status for task in tasks} == {TaskStatus.COMPLETED}

        outgoing.dispatcher.start()
        await receiver.until(lambda: len(receiver.events) == 4)

        async def is_empty() -> bool:
            return (await outgoing.status()).pending == 0

        await until(is_empty)
        await outgoing.live()
        await receiver.until(lambda: len(receiver.events) == 7)


async def test_old_events_are_deleted(path: Path) -> None:
    """Those that were given up, and those of webhooks that are no longer in the settings."""
    async with (
        Receiver.opened() as receiver,
        open_outgoing(path, receiver.url, factor=31 * 86_400.0, is_started=False) as outgoing,
    ):
        await outgoing.live()
        await asyncio.sleep(1.1)  # a month

        assert await outgoing.deliveries.forget_old(["default"]) == 0
        assert await outgoing.deliveries.forget_old(["other"]) == 3


async def test_events_that_wait_for_others_are_not_searched(path: Path) -> None:
    """Of many events of few tasks only those are read that may be sent."""
    async with (
        Receiver.opened() as receiver,
        open_outgoing(path, receiver.url, is_started=False) as outgoing,
    ):
        for _ in range(3):
            await outgoing.live()
        due = await outgoing.deliveries.due("default", 10)
        listed = await outgoing.deliveries.list("default", 10)
        assert [one.event for one in due] == ["queued"] * 3
        assert [one["next_attempt_at"] is None for one in listed] == [False, True, True] * 3

        plan = await outgoing.store.database.read(
            f"EXPLAIN QUERY PLAN {outbox_queries.DUE_DELIVERIES}",
            {"webhook": "default", "now": "3", "running": "[]", "limit": 8},
        )
        details = " ".join(row["detail"] for row in plan)
        assert "webhook_deliveries_by_time (webhook=? AND failed_at=? AND next" in details
        assert "TEMP B-TREE" not in details


async def test_a_bug_does_not_repeat_a_delivery_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is logged, the delivery waits, and the others go on."""
    async with (
        Receiver.opened() as receiver,
        open_outgoing(path, receiver.url, is_started=False) as outgoing,
    ):
        broken = await outgoing.live()
        attempts = 0
        send = WebhookSender.send

        async def send_or_raise(sender: WebhookSender, delivery: Delivery) -> Outcome:
            nonlocal attempts
            if delivery.task_id == broken.id:
                attempts += 1
                raise RuntimeError("a bug")
            return await send(sender, delivery)

        monkeypatch.setattr(WebhookSender, "send", send_or_raise)
        outgoing.dispatcher.start()
        fine = await outgoing.live()
        await receiver.until(lambda: len(receiver.events) == 3)

        assert receiver.of_task(fine.id) == LIFE
        assert attempts == 1
