"""What an emulator remembers over a restart, and when it writes that down; without a file, nothing.

A prediction is a function of time, so it is enough to note what was ordered, canceled, reported and
forgotten: after a restart each has gone on meanwhile, as at Replicate.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import structlog

from phoenix_compat.emulator.json_type import JsonObject
from phoenix_compat.emulator.persistence.json_lines_log import Entry, JsonLinesLog
from phoenix_compat.emulator.persistence.record import PredictionRecord, Recollection, recollect
from phoenix_compat.emulator.predictions.prediction import Prediction
from phoenix_compat.emulator.predictions.prediction_document import is_data_removed
from phoenix_compat.emulator.predictions.prediction_store import PredictionStore

log = structlog.stdlib.get_logger(__name__)

_TITLE: JsonObject = {"json_log": "phoenix-compat emulator", "version": 1}


class Persistence:
    """The json log of one emulator, and what is noted in it.

    Args:
        path: its file; None remembers nothing.
        prediction store: what is remembered when the file is written anew.
        retention_s: after this age a prediction is remembered without its input.
    """

    def __init__(
        self, path: Path | None, prediction_store: PredictionStore, retention_s: float
    ) -> None:
        self._path = path
        self._json_log: JsonLinesLog | None = None
        self._prediction_store = prediction_store
        self._retention_s = retention_s
        self._port: int | None = None

    async def recall(self) -> Recollection:
        """Take the file and tell what it holds. What happens before that is not noted."""
        if self._path is None:
            return Recollection(None, {})
        self._json_log = JsonLinesLog(self._path, _TITLE)
        told = recollect(await self._json_log.open())
        if told.skipped:
            log.warning("emulator.lines_skipped", file=str(self._path), lines=told.skipped)
        return told

    def begin(self, port: int, now_s: float) -> None:
        """Write the file anew, now that it is known where the emulator listens."""
        self._port = port
        self._rewrite(now_s)

    def created(self, prediction: Prediction) -> None:
        """It was ordered."""
        self._note(lambda: _created(prediction), prediction.created_at_s)

    def canceled(self, prediction: Prediction, now_s: float) -> None:
        """Its cancellation was asked for."""
        self._note(lambda: {"canceled": prediction.id, "at_s": now_s}, now_s)

    def reported(self, prediction: Prediction, now_s: float) -> None:
        """Its webhook heard of its end, or was given up."""
        prediction.is_reported = True
        self._note(lambda: {"reported": prediction.id}, now_s)

    def forgot(self, prediction_id: str | None, now_s: float) -> None:
        """It was forgotten on purpose; None: all were."""
        self._note(lambda: {"forgotten": prediction_id}, now_s)

    async def settled(self) -> None:
        """Return when what happened so far will survive this process."""
        if self._json_log is not None:
            await self._json_log.settled()

    async def close(self) -> None:
        """Finish writing."""
        json_log, self._json_log = self._json_log, None
        if json_log is not None:
            await json_log.close()

    def _note(self, entry: Entry, now_s: float) -> None:
        if self._json_log is None:
            return
        self._json_log.note(entry)
        if self._json_log.is_grown:
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
