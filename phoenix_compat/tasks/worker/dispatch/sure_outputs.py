"""Shows nothing of a task that another node may have taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from phoenix_compat.tasks.model.task import JSONObject, Task, TaskId
from phoenix_compat.tasks.streams.output_sink import OutputSink
from phoenix_compat.tasks.streams.written_text import WrittenText
from phoenix_compat.tasks.worker.recorder import Announce
from phoenix_compat.tasks.worker.run_state import TaskRun


class FindRun(Protocol):
    """What this needs of the runs of a worker."""

    def of(self, task_id: TaskId) -> TaskRun | None:
        """See Runs."""
        ...


class SureOutputs:
    """An OutputSink in front of another one.

    A text and the list of files are shown in full each time, so nothing is missing when the node is
    sure of the task again.

    Attributes:
        runs: the runs of the worker; nothing is held back before they are known.
    """

    def __init__(self, sink: OutputSink, announce: Announce) -> None:
        self.runs: FindRun | None = None
        self._sink = sink
        self._announce = announce

    def announce(self, task: Task) -> None:
        """Announce a change of a task; its end is told in any case, because it is committed."""
        if task.status.is_terminal or self._is_sure(task.id):
            self._announce(task)

    def announce_text(self, task_id: TaskId, text: WrittenText) -> None:
        """See OutputSink."""
        if self._is_sure(task_id):
            self._sink.announce_text(task_id, text)

    def announce_files(
        self, task_id: TaskId, prediction_id: str, files: Sequence[JSONObject]
    ) -> None:
        """See OutputSink."""
        if self._is_sure(task_id):
            self._sink.announce_files(task_id, prediction_id, files)

    def _is_sure(self, task_id: TaskId) -> bool:
        run = None if self.runs is None else self.runs.of(task_id)
        return run is None or run.is_sure
