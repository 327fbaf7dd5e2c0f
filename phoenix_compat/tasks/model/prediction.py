"""A prediction as the worker knows it: its id, and its state at one moment. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PredictionState(StrEnum):
    """Where a prediction stands, in our words."""

    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class PredictionRef:
    """A prediction's name at the provider; opaque."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionSnapshot:
    """A prediction as the provider showed it once.

    Attributes:
        raw_status: the provider's own word.
        output: whatever the model answered; see `output.normalise_output`.
        error_text: the provider's text, for classification and never for clients.
        logs: the last 64 kB of what the model printed.
        is_removed: the provider has deleted input and output, as it does after an hour.
    """

    ref: PredictionRef
    state: PredictionState
    raw_status: str
    output: object = None
    error_text: str = ""
    logs: str = ""
    is_removed: bool = False
