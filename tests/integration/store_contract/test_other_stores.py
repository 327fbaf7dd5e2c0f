"""API keys, uploads, files at the provider, and deliveries to webhooks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from phoenix_compat.server.auth.keys.api_keys import ApiKey, ApiKeyError, KeyNameTakenError
from phoenix_compat.server.auth.keys.key_store import KeyStore
from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.tasks.model.errors import InvalidInputError, UploadsFullError
from phoenix_compat.tasks.model.inputs.file_inputs import UsedUpload
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.store.outbox.deliveries import DeliveryStore
from phoenix_compat.tasks.store.outbox.outbox import EVENTS, Outbox, Subscription
from phoenix_compat.tasks.store.sent_file_store import SentFileStore
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.store.upload_store import UPLOAD_RETENTION, UploadStore
from tests.integration.store.stored_tasks import moved
from tests.integration.store_contract.engines import Engine
from tests.integration.worker.fake_provider import START, FakeClock
from tests.integration.worker.worker_harness import task_params

READ = frozenset({Scope.READ})
A, B = "a" * 64, "b" * 64
DAY = timedelta(days=1)


async def test_keys_are_created_found_and_revoked(engine: Engine) -> None:
    """Also after a restart; a name whose key was revoked gets a new key."""
    async with await engine.open_store() as store:
        keys = KeyStore(store)
        await keys.start()
        first, second = await keys.create("phone", READ), await keys.create("tv", READ)
        with pytest.raises(KeyNameTakenError):
            await keys.create("phone", READ)
        await keys.revoke("phone")
        with pytest.raises(ApiKeyError, match="no key named 'radio'"):
            await keys.revoke("radio")
        third = await keys.create("phone", {Scope.CREATE})
        assert await keys.find(second) == ApiKey(name="tv", scopes=READ)
        await keys.stop()

    async with await engine.open_store() as store:
        keys = KeyStore(store)
        await keys.start()
        records = {record.name: record for record in await keys.records()}

        assert await keys.find(first) is None
        assert await keys.find(second) == ApiKey(name="tv", scopes=READ)
        assert await keys.find(third) == ApiKey(name="phone", scopes=frozenset({Scope.CREATE}))
        assert sorted(records) == ["phone", "tv"]
        assert records["phone"].scopes == ("create",)
        assert records["phone"].last_used_at is None
        assert records["tv"].last_used_at is not None
        assert records["tv"].created_at < records["tv"].last_used_at
        await keys.stop()


async def test_a_task_uses_only_files_of_its_owner(store: TaskStore) -> None:
    """A file of another owner is found as little as a missing one."""
    uploads = UploadStore(store, clock=FakeClock())
    await uploads.add("ada", A, "image/png", 10)
    params = replace(task_params(), uploads=(UsedUpload("input_data.image", A),))

    await store.add(params, owner="ada")
    with pytest.raises(InvalidInputError, match="no file with this id"):
        await store.add(params, owner="bob")

    assert len(await store.list()) == 1
    assert await store.shared_hashes({A, B}, []) == {A}


async def test_unused_files_are_deleted(store: TaskStore) -> None:
    """Not those of tasks, nor those that another owner has sent lately."""
    clock = FakeClock()
    uploads = UploadStore(store, clock=clock)
    for owner, sha256 in (("ada", A), ("ada", B), ("bob", B)):
        await uploads.add(owner, sha256, "image/png", 10)
    params = replace(task_params(), uploads=(UsedUpload("input_data.image", A),))
    await store.add(params, owner="ada")
    clock.elapsed_s = DAY.total_seconds()
    await uploads.add("bob", B, "image/png", 10)
    before = clock.now() - timedelta(hours=1)

    unused = await uploads.unused(before, 10)
    kept = await uploads.still_uploaded({A, B}, before)
    deleted = await uploads.delete_unused({A, B}, before)

    assert sorted(unused) == [B]
    assert sorted(kept) == [A, B]
    assert deleted == 1
    assert await uploads.unused(before, 10) == frozenset()


async def test_files_of_a_day_are_limited(store: TaskStore) -> None:
    """A file that is sent again counts once; after a day there is room again."""
    clock = FakeClock()
    uploads = UploadStore(store, 15, clock)
    await uploads.add("ada", A, "image/png", 10)
    await uploads.add("ada", A, "image/png", 10)
    await uploads.add("bob", B, "image/png", 10)

    with pytest.raises(UploadsFullError) as raised:
        await uploads.add("ada", B, "image/png", 10)
    clock.elapsed_s = UPLOAD_RETENTION.total_seconds() + 1
    await uploads.add("ada", B, "image/png", 10)

    assert raised.value.wait_s == UPLOAD_RETENTION.total_seconds()
    assert uploads.refused == 1


async def test_files_at_the_provider_are_remembered(store: TaskStore) -> None:
    """The newest copy that is valid; an address that has expired is known for a day longer."""
    clock = FakeClock()
    sent = SentFileStore(store, clock)
    await sent.add(A, "https://r/1", START + DAY)
    clock.elapsed_s = 60.0
    await sent.add(A, "https://r/2", START + DAY)
    await sent.add(A, "https://r/2", START + DAY)
    await sent.add(B, "https://r/3", START + DAY)

    assert await sent.latest(A, START) == "https://r/2"
    assert await sent.latest(A, START + DAY) is None
    assert await sent.latest("c" * 64, START) is None
    assert await sent.hashes_of(["https://r/1", "https://r/3", "https://x"]) == {
        "https://r/1": A,
        "https://r/3": B,
    }
    clock.elapsed_s = (2 * DAY).total_seconds() + 1
    await sent.add(B, "https://r/4", START + 3 * DAY)
    assert await sent.hashes_of(["https://r/1", "https://r/4"]) == {"https://r/4": B}


def keep_events(store: TaskStore, max_deliveries: int = 100) -> DeliveryStore:
    """Keep all events of tasks for a webhook."""
    subscription = Subscription("hook", frozenset(EVENTS))
    store.outbox = Outbox([subscription], _document, max_deliveries)
    return DeliveryStore(store, FakeClock())


def _document(task: Task) -> dict[str, object]:
    return {"id": task.id}


async def test_the_events_of_a_task_are_delivered_in_order(store: TaskStore) -> None:
    """The next one is due when the one before was delivered or given up."""
    deliveries = keep_events(store)
    task, other = await store.add(task_params()), await store.add(task_params())
    await moved(store, task, TaskStatus.FAILED)

    due = await deliveries.due("hook", 10)
    assert [(one.task_id, one.event) for one in due] == [
        (task.id, "queued"),
        (other.id, "queued"),
    ]
    assert [one.number for one in await deliveries.due("hook", 10, [due[0].number])] == [
        due[1].number
    ]
    await deliveries.delivered(due[0])
    after = await deliveries.due("hook", 10)
    status = (await deliveries.statuses(["hook", "other"]))[0]

    assert [(one.task_id, one.event) for one in after] == [
        (other.id, "queued"),
        (task.id, "failed"),
    ]
    assert (status.name, status.delivered, status.pending) == ("hook", 1, 2)
    assert {row["event"] for row in await deliveries.list("hook", 10)} == {"queued", "failed"}


async def test_a_delivery_that_fails_is_tried_again_and_replayed(store: TaskStore) -> None:
    """A webhook that takes nothing is disabled; a replay sends everything again."""
    deliveries = keep_events(store)
    await store.add(task_params())
    (one,) = await deliveries.due("hook", 10)

    await deliveries.retry_later(one, "500", START, START + timedelta(seconds=9))
    assert await deliveries.due("hook", 10) == []
    assert await deliveries.next_due("hook") == START + timedelta(seconds=9)
    assert await deliveries.give_up(one, "500", "silent", START)
    disabled = (await deliveries.statuses(["hook"]))[0]
    replayed = await deliveries.replay("hook")

    assert (disabled.failed, disabled.reason) == (1, "silent")
    assert disabled.disabled_at is not None
    assert replayed == 1
    (again,) = await deliveries.due("hook", 10)
    assert (again.id, again.attempts) == (one.id, 0)


async def test_the_events_of_a_webhook_are_limited(store: TaskStore) -> None:
    """Further ones are counted; old ones of a webhook that is gone are forgotten."""
    deliveries = keep_events(store, max_deliveries=2)
    for _ in range(4):
        await store.add(task_params())

    status = (await deliveries.statuses(["hook"]))[0]
    assert (status.pending, status.dropped) == (2, 2)
    assert await deliveries.forget_old(["hook"]) == 0
    deliveries._clock = clock = FakeClock()
    clock.elapsed_s = (31 * DAY).total_seconds()
    assert await deliveries.forget_old(["hook"]) == 0
    assert await deliveries.forget_old([]) == 2
