"""The worker and the caps: creates that were refused cost nothing, and repeats are paid for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from phoenix_compat.tasks.model.caps import Caps, Limits
from phoenix_compat.tasks.model.errors import (
    ProviderRefusedError,
    ProviderUncertainError,
    ProviderUnreachableError,
)
from phoenix_compat.tasks.model.model_policy import ModelPolicy, PolicyRules
from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.model.task_types import TASK_TYPES, with_default_model
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.spending import ALL
from phoenix_compat.tasks.worker.circuit_breaker import BreakerOptions
from phoenix_compat.tasks.worker.options import WorkerOptions
from phoenix_compat.tasks.worker.worker import Worker
from tests.integration.worker.fake_provider import (
    Answer,
    FakeClock,
    FakeProvider,
    active,
    canceled,
    failed,
    ref,
    succeeded,
)
from tests.integration.worker.worker_harness import (
    SCHEMA,
    WorkerHarness,
    cancel_held,
    code_of,
    open_worker_harness,
)

MONTH = "2026-01"
PRICE = 20_000
"""Of the default model, in micro-dollars."""
INTERRUPTED = failed("Prediction interrupted; please retry (code: PA)")
UNAVAILABLE = ProviderRefusedError(422, "model_unavailable", "This model is not available.")


@asynccontextmanager
async def budgeted(
    path: Path, provider: FakeProvider, *, cap: int | None = None, fallbacks: tuple[str, ...] = ()
) -> AsyncIterator[WorkerHarness]:
    """A worker of a store with a cap, in micro-dollars; it gives up early on a lost connection."""
    options = WorkerOptions(
        fallback_models=fallbacks, max_connect_failures=2, breaker=BreakerOptions(patience_s=1e9)
    )
    async with open_worker_harness(path, provider, FakeClock(), options) as harness:
        harness.store.budget.set_caps(Caps(owner_per_day=Limits(microdollars=cap)))
        yield harness


async def spent(harness: WorkerHarness) -> int:
    sums = await harness.store.spending(MONTH, ALL)
    assert sums is not None
    return sums.microdollars


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ProviderRefusedError(422, "invalid_input", "No."), "invalid_input"),
        (UNAVAILABLE, "model_unavailable"),
        (ProviderUnreachableError("refused"), "provider_unavailable"),
    ],
)
async def test_a_refused_create_costs_nothing(path: Path, error: Exception, code: str) -> None:
    """The cost is taken back, and another task may use it."""
    provider = FakeProvider(submit=[error, error, ref()], fetch=[succeeded()])
    async with budgeted(path, provider, cap=PRICE) as harness:
        task = await harness.run()

        assert code_of(task) == code
        assert await spent(harness) == 0
        provider.answers["submit"] = [ref()]
        assert (await harness.run()).status is TaskStatus.COMPLETED
        assert await spent(harness) == PRICE


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (failed("flagged as sensitive (E005)"), "content_policy"),
        (canceled(), "canceled"),
        (succeeded([]), "empty_output"),
    ],
)
async def test_a_prediction_that_failed_keeps_its_cost(
    path: Path, answer: Answer, code: str
) -> None:
    """The provider may have billed it."""
    async with budgeted(path, FakeProvider(submit=[ref()], fetch=[answer])) as harness:
        task = await harness.run()

        assert code_of(task) == code
        assert await spent(harness) == PRICE


async def test_a_queued_task_that_is_canceled_costs_nothing(path: Path) -> None:
    """Nothing was sent for it."""
    provider = FakeProvider(submit=[ref()], fetch=[active()])
    async with open_worker_harness(path, provider, FakeClock(), is_started=False) as harness:
        task = await harness.add()

        await harness.worker.cancel(task.id)

        assert code_of(await harness.now(task)) == "canceled"
        assert await spent(harness) == 0


async def test_a_create_that_is_under_way_keeps_its_cost(path: Path) -> None:
    """A cancel cannot tell whether it was billed."""
    provider = FakeProvider(submit=[ref()], fetch=[active()], cancel=[canceled()])
    provider.held = "submit"
    async with budgeted(path, provider) as harness:
        task = await harness.ended(await cancel_held(harness, provider))

        assert code_of(task) == "canceled"
        assert await spent(harness) == PRICE


async def test_repeats_are_paid_for_up_to_the_cap(path: Path) -> None:
    """With money for two predictions, the third is refused, with a code of its own."""
    provider = FakeProvider(submit=[ref("p-1"), ref("p-2"), ref("p-3")], fetch=[INTERRUPTED])
    async with budgeted(path, provider, cap=2 * PRICE + 1) as harness:
        task = await harness.run()

        assert (code_of(task), task.retries) == ("cap_reached", 1)
        assert provider.count("submit") == 2
        assert await spent(harness) == 2 * PRICE
        payload = harness.payloads(task)[-1]
        assert payload["error_data"]["code"] == "cap_reached"
        assert "limit" in payload["error_data"]["error"]


async def test_a_lost_create_is_sent_again_only_with_money_for_both(path: Path) -> None:
    """The first may have been billed, so the second costs once more."""
    provider = FakeProvider(submit=[ProviderUncertainError("reset")], find=[[]])
    async with budgeted(path, provider, cap=PRICE) as harness:
        task = await harness.run()

        assert code_of(task) == "cap_reached"
        assert provider.count("submit") == 1
        assert await spent(harness) == PRICE


async def test_an_unknown_outcome_keeps_its_cost(path: Path) -> None:
    """Each create that was sent may have been billed."""
    provider = FakeProvider(submit=[ProviderUncertainError("reset")], find=[[]])
    async with budgeted(path, provider) as harness:
        task = await harness.run()

        assert code_of(task) == "unknown_outcome"
        assert await spent(harness) == provider.count("submit") * PRICE


@pytest.mark.parametrize(
    ("fallback", "cost"), [("black-forest-labs/flux-schnell", 3_000), ("google/imagen-4", 40_000)]
)
async def test_a_fallback_model_costs_its_own_price(path: Path, fallback: str, cost: int) -> None:
    """The refused create of the first model costs nothing; operators see which model runs."""
    provider = FakeProvider(submit=[UNAVAILABLE, ref()], fetch=[succeeded()])
    async with budgeted(path, provider, fallbacks=(fallback,)) as harness:
        task = await harness.run()

        assert task.status is TaskStatus.COMPLETED
        assert await spent(harness) == cost
        measures = harness.worker.measures
        assert list(measures.fallbacks) == [(("google/imagen-4-fast", fallback), 1)]
        assert measures.fell_back_s_ago("google/imagen-4-fast", fallback) is not None


async def test_a_fallback_model_beyond_the_cap_does_not_run(path: Path) -> None:
    """The task fails, and nothing of it is counted."""
    provider = FakeProvider(submit=[UNAVAILABLE, ref()], fetch=[succeeded()])
    async with budgeted(path, provider, cap=PRICE, fallbacks=("google/imagen-4",)) as harness:
        task = await harness.run()

        assert code_of(task) == "cap_reached"
        assert provider.count("submit") == 1
        assert await spent(harness) == 0


@pytest.mark.parametrize(
    "rules",
    [
        PolicyRules(allowed_models=("google/imagen-4-fast", "recraft-ai/*")),
        PolicyRules(needs_price=True),
    ],
)
async def test_a_fallback_model_that_may_not_run_is_skipped(path: Path, rules: PolicyRules) -> None:
    """A model that is not allowed, or has no price, gives way to the next one."""
    fallbacks = ("you/unpriced", "recraft-ai/recraft-v3")
    types = with_default_model(TASK_TYPES, "image", "google/imagen-4-fast", fallbacks)
    provider = FakeProvider(submit=[UNAVAILABLE, ref()], fetch=[succeeded()])
    async with await open_task_store(path, SCHEMA, clock=FakeClock()) as store:
        harness = WorkerHarness(store, provider, FakeClock(), WorkerOptions())
        harness.worker = Worker(
            store,
            provider,
            harness._note,
            task_types=types,
            clock=FakeClock(),
            policy=ModelPolicy(types, rules),
        )
        await harness.worker.start()

        task = await harness.run()

        assert (task.status, task.running_model) == (TaskStatus.COMPLETED, "recraft-ai/recraft-v3")
        await harness.worker.stop()
