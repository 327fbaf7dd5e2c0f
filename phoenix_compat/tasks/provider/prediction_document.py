"""Parses Replicate's prediction object and converts it to a `PredictionSnapshot`. No I/O."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from phoenix_compat.tasks.model.prediction import PredictionRef, PredictionSnapshot, PredictionState
from phoenix_compat.tasks.model.progress import LOG_TAIL_CHARS


class PredictionDocument(BaseModel):
    """Replicate's prediction object. Every key but `id` may be absent; unknown keys are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    model: str | None = None
    version: str | None = None
    deployment: object = None
    status: str | None = None
    input: object = None
    output: object = None
    error: object = None
    logs: str | None = None
    data_removed: bool | None = None
    webhook: object = None
    completed_at: str | None = None
    urls: object = None

    def snapshot(self) -> PredictionSnapshot:
        """The prediction in the worker's terms."""
        return PredictionSnapshot(
            ref=PredictionRef(self.id, self._stream_url()),
            state=self._state(),
            raw_status=self.status or "",
            output=self.output,
            error_text="" if self.error is None else str(self.error)[:2_000],
            logs=(self.logs or "")[-LOG_TAIL_CHARS:],
            is_removed=bool(self.data_removed),
        )

    def _stream_url(self) -> str | None:
        url = self.urls.get("stream") if isinstance(self.urls, dict) else None
        return url if isinstance(url, str) and url else None

    def _state(self) -> PredictionState:
        known = _STATES.get(self.status or "")
        if known is not None:
            return known
        # An unknown status counts as running, unless the prediction has an end time.
        return PredictionState.FAILED if self.completed_at else PredictionState.ACTIVE


_STATES = {
    "starting": PredictionState.ACTIVE,
    "processing": PredictionState.ACTIVE,
    "succeeded": PredictionState.SUCCEEDED,
    "failed": PredictionState.FAILED,
    "canceled": PredictionState.CANCELED,
    "aborted": PredictionState.ABORTED,
}
KNOWN_STATUSES = frozenset(_STATES)
