"""The options that every bus through a broker has."""

from __future__ import annotations

from typing import TypedDict


class BusOptions(TypedDict, total=False):
    """The keyword arguments of BrokerBus; see there."""

    prefix: str
    name: str | None
    heartbeat_s: float
    call_timeout_s: float
    max_calls: int
    max_message_bytes: int
