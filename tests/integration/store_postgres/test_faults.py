"""PostgreSQL restarts, hangs, or cannot be reached: nobody waits long, and nothing is lost."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from phoenix_compat.tasks.model.errors import OutcomeUnknownError, StoreError, StoreUnavailableError
from phoenix_compat.tasks.store.database import Transaction
from phoenix_compat.tasks.store.opening import open_shared_task_store
from phoenix_compat.tasks.store.postgres import connections
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.store_contract.engines import POSTGRES_SCHEMA as SCHEMA
from tests.integration.worker.worker_harness import task_params
from tests.patience import patient
from tests.services.network import Network, open_network
from tests.services.postgres import PASSWORD, OwnPostgres

SHORT_S = 0.25
"""Instead of `TIMEOUT_S`, where a test waits for it."""


@pytest.fixture
async def own_store(own_postgres: OwnPostgres) -> AsyncIterator[TaskStore]:
    """A store on a server of the test's own."""
    store = await open_shared_task_store(own_postgres.url, SCHEMA, timeout_s=patient(5.0))
    async with store:
        yield store


@pytest.fixture
async def network(postgres_url: str) -> AsyncIterator[Network]:
    """The way to the shared server."""
    parts = urlsplit(postgres_url)
    async with open_network(str(parts.hostname), int(parts.port or 0)) as opened:
        yield opened


@pytest.fixture
async def far_store(network: Network, postgres_url: str) -> AsyncIterator[TaskStore]:
    """A store behind that network, whose callers wait for `SHORT_S` only."""
    url = postgres_url.replace(f":{urlsplit(postgres_url).port}/", f":{network.port}/")
    async with await open_shared_task_store(url, SCHEMA, timeout_s=patient(SHORT_S)) as store:
        yield store
        network.heal()


async def until_it_works(store: TaskStore) -> None:
    """Wait until the store says that it can be used."""
    async with asyncio.timeout(patient(10.0)):
        while (await store.health_error()) is not None:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.05)


async def test_a_restart_between_two_writes_is_not_noticed(
    own_store: TaskStore, own_postgres: OwnPostgres
) -> None:
    """The connections that are lost are replaced before anybody gets an error."""
    first = await own_store.add(task_params())
    await own_postgres.restart()

    second = await own_store.add(task_params())
    await own_postgres.restart()

    assert await own_store.list() == [second, first]


async def test_what_was_acknowledged_survives_crashes_under_load(
    own_store: TaskStore, own_postgres: OwnPostgres
) -> None:
    """Each write that returned is there, and each that was refused is StoreUnavailableError."""
    acknowledged: list[str] = []
    is_over = False

    async def add_all() -> None:
        while not is_over:
            try:
                acknowledged.append((await own_store.add(task_params())).id)
            except StoreUnavailableError:
                await asyncio.sleep(0.01)

    adding = [asyncio.create_task(add_all()) for _ in range(8)]
    for _ in range(2):
        before = len(acknowledged)
        while len(acknowledged) < before + 50:  # noqa: ASYNC110 - what the tasks do has no event
            await asyncio.sleep(0.01)
        await own_postgres.restart(down_s=0.1)
    is_over = True
    await asyncio.gather(*adding)

    stored = {task.id for task in await own_store.list(limit=100_000)}
    assert set(acknowledged) <= stored
    assert len(acknowledged) > 100
    counts = await own_store.events(acknowledged[-1])
    assert [event.event for event in counts] == ["queued"]


async def test_without_a_server_every_call_is_refused_until_it_is_back(
    own_store: TaskStore, own_postgres: OwnPostgres
) -> None:
    """The error says why, without the password, and the health shows it too."""
    kept = await own_store.add(task_params())
    own_postgres.stop()

    with pytest.raises(StoreUnavailableError, match="PostgreSQL cannot be used") as caught:
        await own_store.add(task_params())
    with pytest.raises(StoreUnavailableError):
        await own_store.get(kept.id)
    assert PASSWORD not in str(caught.value)
    assert await own_store.health_error() is not None

    own_postgres.start()
    await until_it_works(own_store)
    assert await own_store.get(kept.id) == kept


async def test_a_server_that_hangs_is_waited_for_no_longer_than_callers_may(
    own_postgres: OwnPostgres,
) -> None:
    """Reads and writes end in time, also those that wait behind others."""
    async with await open_shared_task_store(
        own_postgres.url, SCHEMA, timeout_s=patient(SHORT_S)
    ) as store:
        kept = await store.add(task_params())
        own_postgres.pause()

        began_s = time.monotonic()
        calls = [store.add(task_params()) for _ in range(30)]
        results = await asyncio.gather(*calls, store.get(kept.id), return_exceptions=True)
        took_s = time.monotonic() - began_s

        own_postgres.resume()
        assert {type(result) for result in results} == {StoreUnavailableError}
        assert took_s < patient(3 * SHORT_S)
        await until_it_works(store)
        assert await store.list() == [kept]


async def test_a_network_that_drops_everything_is_the_same(
    far_store: TaskStore, network: Network
) -> None:
    """Neither old nor new connections get an answer; when the network is back, all goes on."""
    kept = await far_store.add(task_params())
    network.cut()

    with pytest.raises(StoreUnavailableError, match="does not respond"):
        await far_store.add(task_params())
    with pytest.raises(StoreUnavailableError, match="does not respond"):
        await far_store.get(kept.id)  # on a new connection
    assert await far_store.health_error() is not None

    network.heal()
    await until_it_works(far_store)
    assert kept in await far_store.list()


async def test_a_connection_that_is_lost_before_the_commit_is_replaced(
    far_store: TaskStore, network: Network
) -> None:
    """The write runs again on another connection, and is written once."""
    runs = 0
    insert = "INSERT INTO shared_secrets (name, value) VALUES (?, ?)"

    async def work(transaction: Transaction) -> int:
        nonlocal runs
        runs += 1
        await transaction.execute(insert, (f"early-{runs}", "x"))
        if runs == 1:
            network.break_connections()
        return await transaction.execute(insert, (f"late-{runs}", "x"))

    assert await far_store.database.write(work) == 1

    rows = await far_store.database.read("SELECT name FROM shared_secrets ORDER BY name")
    assert [row["name"] for row in rows] == ["early-2", "late-2"]


async def test_a_commit_without_an_answer_is_unavailable(
    far_store: TaskStore, network: Network
) -> None:
    """Whether it was written is not known, so it is not run again."""
    runs = 0

    async def work(transaction: Transaction) -> None:
        nonlocal runs
        runs += 1
        await transaction.rows("SELECT 1")
        network.cut()

    with pytest.raises(OutcomeUnknownError):
        await far_store.database.write(work)

    network.heal()
    assert runs == 1


async def test_a_write_that_waits_for_a_lock_ends_in_time(
    far_store: TaskStore, postgres_url: str
) -> None:
    """Somebody who keeps a row to himself delays others by no more than they may wait."""
    task = await far_store.add(task_params())
    is_locked, may_end = asyncio.Event(), asyncio.Event()

    async def keep(transaction: Transaction) -> None:
        await transaction.rows("SELECT id FROM tasks FOR UPDATE")
        is_locked.set()
        await may_end.wait()

    async with await open_shared_task_store(postgres_url, SCHEMA, timeout_s=60.0) as other:
        keeping = asyncio.create_task(other.database.write(keep))
        await is_locked.wait()

        with pytest.raises(StoreUnavailableError, match="does not respond"):
            await far_store.request_cancel(task.id)

        may_end.set()
        await keeping
    assert (await far_store.request_cancel(task.id)).is_cancel_requested


async def test_a_node_that_is_cut_off_keeps_no_row_for_long(
    network: Network, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends its transaction, so that others can change what it had locked."""
    monkeypatch.setitem(connections._SETTINGS, "idle_in_transaction_session_timeout", "300ms")
    far_url = postgres_url.replace(f":{urlsplit(postgres_url).port}/", f":{network.port}/")
    is_locked, may_end = asyncio.Event(), asyncio.Event()

    async def keep(transaction: Transaction) -> None:
        await transaction.rows("SELECT id FROM tasks FOR UPDATE")
        is_locked.set()
        await may_end.wait()

    async with (
        await open_shared_task_store(postgres_url, SCHEMA, timeout_s=patient(10.0)) as other,
        await open_shared_task_store(far_url, SCHEMA, timeout_s=patient(SHORT_S)) as far,
    ):
        task = await other.add(task_params())
        keeping = asyncio.create_task(far.database.write(keep))
        await is_locked.wait()
        network.cut()

        assert (await other.request_cancel(task.id)).is_cancel_requested

        may_end.set()
        with pytest.raises(StoreUnavailableError):
            await keeping
        network.heal()


async def test_readers_that_are_cancelled_leave_nothing(
    own_postgres: OwnPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither connections nor statements that run on, nor a place that is taken."""
    running = 0
    asked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%'"
    async with await open_shared_task_store(
        own_postgres.url, SCHEMA, timeout_s=patient(5.0)
    ) as store:
        for _ in range(12):
            reading = asyncio.create_task(store.database.read("SELECT pg_sleep(60)"))
            ((running,),) = await store.database.read(asked)
            while running < 2:  # this one and that which asks
                ((running,),) = await store.database.read(asked)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading

        async with asyncio.timeout(patient(5.0)):
            while running > 1:
                ((running,),) = await store.database.read(asked)
    gc.collect()
    assert caplog.messages == []


async def test_a_refused_value_says_nothing_of_it(far_store: TaskStore) -> None:
    """The error of a constraint names it, and is not one that may go away."""
    task = await far_store.add(task_params())

    with pytest.raises(StoreError, match=r"check violation .*tasks_progress_check") as caught:
        await far_store.database.write(
            lambda transaction: transaction.execute("UPDATE tasks SET progress = ?", (7.25,))
        )

    assert not isinstance(caught.value, StoreUnavailableError)
    assert "7.25" not in str(caught.value)
    assert await far_store.get(task.id) == task
