"""What is counted about events for webhooks; apart, so that it can be shown without the rest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class OutgoingCounts:
    """What has happened since the start.

    Attributes:
        delivered: events that arrived.
        failed_attempts: attempts that failed.
        given_up: events that did not arrive within a day.
    """

    delivered: int = 0
    failed_attempts: int = 0
    given_up: int = 0
