"""Saves an emulator's predictions to a file and restores them; without a file it does nothing.

A prediction is a function of time, so only four events are saved: created, canceled, reported to
its webhook, and forgotten. Time passes for saved predictions while the emulator is down, as it does
at Replicate.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import structlog

from phoenix_compat.emulator.json_type import JsonObject
from phoenix_compat.emulator.persistence.json_lines_log import Entry, JsonLinesLog
from phoenix_compat.emulator.persistence.record import PredictionRecord, RestoredState, replay
from phoenix_compat.emulator.predictions.prediction import Prediction
from phoenix_compat.emulator.predictions.prediction_document import is_data_removed
from phoenix_compat.emulator.predictions.prediction_store import PredictionStore

log = structlog.stdlib.get_logger(__name__)

# The first line of every state file, also of those that older versions wrote.
_HEADER: JsonObject = {"journal": "phoenix-compat emulator", "version": 1}
# Every entry has one of these keys.
_KINDS = ("port", "created", "canceled", "reported", "forgotten")


class Persistence:
    """The state file of one emulator.

    Args:
        path: the file; None saves nothing.
        prediction_store: the predictions that a rewrite of the file writes.
        retention_s: a finished prediction of this age is rewritten without its input.
    """

    def __init__(
        self, path: Path | None, prediction_store: PredictionStore, retention_s: float
    ) -> None:
        self._path = path
        self._json_log: JsonLinesLog | None = None
        self._prediction_store = prediction_store
        self._retention_s = retention_s
        self._port: int | None = None

    async def restore(self) -> RestoredState:
        """Open the file and return what it holds. Events before this call are not saved."""
        if self._path is None:
            return RestoredState(None, {})
        self._json_log = JsonLinesLog(self._path, _HEADER, _KINDS)
        restored = replay(await self._json_log.open())
        if restored.skipped:
            log.warning("emulator.lines_skipped", file=str(self._path), lines=restored.skipped)
        return restored

    def start(self, port: int, now_s: float) -> None:
        """Rewrite the file, now that the emulator's port is known."""
        self._port = port
        self._rewrite(now_s)

    def created(self, prediction: Prediction) -> None:
        """Save a new prediction."""
        self._append(lambda: _created(prediction), prediction.created_at_s)

    def canceled(self, prediction: Prediction, now_s: float) -> None:
        """Save that a prediction was canceled."""
        self._append(lambda: {"canceled": prediction.id, "at_s": now_s}, now_s)

    def reported(self, prediction: Prediction, now_s: float) -> None:
        """Save that the last webhook of a prediction was delivered, or given up."""
        prediction.is_reported = True
        self._append(lambda: {"reported": prediction.id}, now_s)

    def forgotten(self, prediction_id: str | None, now_s: float) -> None:
        """Save that a prediction was deleted on request; None: all were."""
        self._append(lambda: {"forgotten": prediction_id}, now_s)

    async def flush(self) -> None:
        """Return when every event so far will survive this process."""
        if self._json_log is not None:
            await self._json_log.flush()

    async def close(self) -> None:
        """Finish writing, and close the file."""
        json_log, self._json_log = self._json_log, None
        if json_log is not None:
            await json_log.close()

    def _append(self, entry: Entry, now_s: float) -> None:
        if self._json_log is None:
            return
        self._json_log.append(entry)
        if self._json_log.needs_rewrite:
            self._rewrite(now_s)

    def _rewrite(self, now_s: float) -> None:
        if self._json_log is None:
            return
        port, newest_first = self._port, list(self._prediction_store)[::-1]
        entries: list[Entry] = [lambda: {"port": port}]
        for prediction in newest_first:
            is_removed = is_data_removed(prediction, now_s, self._retention_s)
            entries.append(partial(_created, prediction, is_data_removed=is_removed))
        self._json_log.rewrite(entries)


def _created(prediction: Prediction, *, is_data_removed: bool = False) -> JsonObject:
    return {"created": dict(PredictionRecord.of(prediction, is_data_removed=is_data_removed))}
