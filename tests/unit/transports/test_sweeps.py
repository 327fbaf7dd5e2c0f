"""Sweeps: a bug with one idle client ends neither this sweep nor the next ones."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phoenix_compat.endpoint import Endpoint
from phoenix_compat.transports.connections import ConnectionHub
from phoenix_compat.transports.long_poll import LongPollHub


class Client:
    """A client that has been idle for ever; closing it may raise."""

    def __init__(self, *, has_bug: bool) -> None:
        self.received_at_sweep = -100
        self.polled_at_s = -1e9
        self.is_closed = False
        self._has_bug = has_bug

    def timed_out(self) -> None:
        """See Connection."""
        if self._has_bug:
            raise RuntimeError
        self.is_closed = True

    def close(self, *_why: object) -> None:
        """See LongPollSession."""
        self.timed_out()

    def abort(self) -> None:
        """See Connection."""
        self.is_closed = True


class Options:
    """Timeouts that are longer than any test."""

    timeout_s = window_s = 1_000.0


def a_hub(kind: type[Any], clients: set[Client]) -> Any:
    """A hub with these clients."""
    hub: Any = object.__new__(kind)
    hub.options = Options()
    hub.sweeps = 0
    hub._timer = None
    hub._connections = hub._own = clients
    hub.endpoint = Endpoint()
    return hub


@pytest.mark.parametrize("kind", [ConnectionHub, LongPollHub])
async def test_a_bug_with_one_client_does_not_end_the_sweeps(kind: type[Any]) -> None:
    """The other idle clients are closed, and the next sweep is scheduled."""
    others = {Client(has_bug=False) for _ in range(5)}
    hub = a_hub(kind, {Client(has_bug=True), *others})

    hub._sweep()

    assert all(client.is_closed for client in others)
    assert isinstance(hub._timer, asyncio.TimerHandle)
    hub._timer.cancel()
