"""Where the worker shows outputs that are not complete yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from phoenix_compat.tasks.model.task import JSONObject, TaskId
from phoenix_compat.tasks.streams.written_text import WrittenText


class OutputSink(Protocol):
    """Shows outputs to clients. Its methods must not block."""

    def announce_text(self, task_id: TaskId, text: WrittenText) -> None:
        """A text has changed. It goes on growing, so whoever keeps it can always show all of it."""
        ...

    def announce_files(
        self, task_id: TaskId, prediction_id: str, files: Sequence[JSONObject]
    ) -> None:
        """More files of a running prediction are kept.

        Args:
            files: documents of all files that are kept so far, see `StoredFile.document`.
        """
        ...


class NoSink:
    """Shows nothing."""

    def announce_text(self, task_id: TaskId, text: WrittenText) -> None:
        """See OutputSink."""

    def announce_files(
        self, task_id: TaskId, prediction_id: str, files: Sequence[JSONObject]
    ) -> None:
        """See OutputSink."""
