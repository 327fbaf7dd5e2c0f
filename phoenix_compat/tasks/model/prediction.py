"""A prediction as the worker sees it: its id, and its state at one moment. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class PredictionState(StrEnum):
    """The state of a prediction, in this program's words."""

    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    ABORTED = "aborted"
    """It ended before it started: by its deadline, by a cancel, or by the platform."""


@dataclass(frozen=True, slots=True)
class PredictionRef:
    """The provider's id of a prediction; an opaque text.

    Attributes:
        stream_url: the address of its stream of server-sent events; None if it has none.
    """

    id: str
    stream_url: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionSnapshot:
    """A prediction as the provider returned it at one moment.

    Attributes:
        raw_status: the provider's own word for the state.
        output: whatever the model returned; see `output.normalise_output`.
        error_text: the provider's text; used to classify a failure, never shown to clients.
        logs: the last 64 kB of what the model printed.
        is_removed: whether the provider has deleted input and output, as it does after an hour.
    """

    ref: PredictionRef
    state: PredictionState
    raw_status: str
    output: object = None
    error_text: str = ""
    logs: str = ""
    is_removed: bool = False
