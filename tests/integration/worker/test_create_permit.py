"""The client asks for the permit when the connection is there, before it writes the create."""

from __future__ import annotations

import pytest

from phoenix_compat.emulator import Emulator, EmulatorSettings
from phoenix_compat.tasks.model.errors import CreateHeldBackError
from phoenix_compat.tasks.provider.create_permit import create_permit
from phoenix_compat.tasks.provider.replicate.replicate import ReplicateProvider
from tests.unit.tasks.sample_tasks import make_task

TOKEN = "r8_made_up"


async def test_a_create_without_permit_is_not_written() -> None:
    """It is not taken for a failure of the provider; the next one with a permit is sent."""
    asked: list[bool] = []

    def may_send() -> bool:
        asked.append(True)
        return False

    async with Emulator(EmulatorSettings(speed=100, seed=1, api_token=TOKEN)) as emulator:
        provider = ReplicateProvider(token=TOKEN, base_url=emulator.base_url)
        for _ in range(2):
            with pytest.raises(CreateHeldBackError), create_permit(may_send):
                await provider.submit(make_task())
        assert emulator.state.counts["created"] == 0
        with create_permit(lambda: True):
            await provider.submit(make_task())
        ref = await provider.submit(make_task())
        await provider.fetch(ref)
        await provider.close()

        assert len(asked) == 2
        assert emulator.state.counts["created"] == 2


async def test_a_permit_that_ends_between_headers_and_body_holds_the_create_back() -> None:
    """aiohttp writes both together, in a task that may run when a stopped process goes on."""
    permits = iter([True, False])
    async with Emulator(EmulatorSettings(speed=100, seed=1, api_token=TOKEN)) as emulator:
        provider = ReplicateProvider(token=TOKEN, base_url=emulator.base_url)
        with pytest.raises(CreateHeldBackError), create_permit(lambda: next(permits)):
            await provider.submit(make_task())
        assert emulator.state.counts["created"] == 0
        await provider.submit(make_task())
        await provider.close()

        assert next(permits, None) is None
        assert emulator.state.counts["created"] == 1
