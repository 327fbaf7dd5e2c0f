"""How a worker gets the tasks that it runs."""

from __future__ import annotations

from typing import Final, Protocol

from phoenix_compat.background import BackgroundTask

MIN_WAIT_S: Final = 0.01
"""Stored times are rounded; without a minimum the dispatcher could loop without waiting."""


class Claims(Protocol):
    """Takes tasks from the store and begins their runs. Used by the dispatcher only."""

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """What runs beside the dispatcher as long as the worker does."""
        ...

    async def start(self) -> None:
        """Prepare to take tasks. Raises StoreUnavailableError."""
        ...

    async def recover(self) -> None:
        """After a crash of the dispatcher, find the tasks again that it had taken."""
        ...

    async def start_due(self) -> float | None:
        """Begin runs in the free slots.

        Returns:
            The seconds to wait before the next call, None for "until woken".

        Raises:
            StoreUnavailableError: the store cannot be used.
        """
        ...

    async def stop(self) -> None:
        """Give back what was taken and has not ended; all runs have stopped."""
        ...
