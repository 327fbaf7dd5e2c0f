"""What is shown of a task while another node may have it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from phoenix_compat.tasks.model.clock import elapsed_s
from phoenix_compat.tasks.model.task import JSONObject, Task, TaskId, TaskStatus
from phoenix_compat.tasks.streams.written_text import WrittenText
from phoenix_compat.tasks.worker.dispatch.sure_outputs import SureOutputs
from phoenix_compat.tasks.worker.run_state import TaskRun
from tests.unit.tasks.sample_tasks import make_task


class Shown:
    """Counts what is shown."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def announce(self, task: Task) -> None:
        self.counts[task.status.value] += 1

    def announce_text(self, task_id: TaskId, text: WrittenText) -> None:
        self.counts["text"] += 1

    def announce_files(
        self, task_id: TaskId, prediction_id: str, files: Sequence[JSONObject]
    ) -> None:
        self.counts["files"] += 1


class OneRun:
    """The runs of a worker that has one."""

    def __init__(self, run: TaskRun) -> None:
        self._run = run

    def of(self, task_id: TaskId) -> TaskRun | None:
        return self._run if task_id == make_task().id else None


def show_all(outputs: SureOutputs) -> None:
    task_id = make_task().id
    outputs.announce_text(task_id, WrittenText("p-1"))
    outputs.announce_files(task_id, "p-1", [])
    outputs.announce(make_task(TaskStatus.RUNNING))
    outputs.announce(make_task(TaskStatus.COMPLETED))


def test_nothing_but_the_end_is_shown_while_another_node_may_have_the_task() -> None:
    """The end is committed with the lease, so it is told; all is shown when the node is sure."""
    shown = Shown()
    outputs = SureOutputs(shown, shown.announce)
    run = TaskRun(is_resumed=False, sure_until_s=elapsed_s() - 1.0)
    outputs.runs = OneRun(run)

    show_all(outputs)
    before = Counter(shown.counts)
    run.renew(elapsed_s() + 60.0)
    show_all(outputs)

    assert before == {"completed": 1}
    assert shown.counts == {"text": 1, "files": 1, "running": 1, "completed": 2}


def test_changes_of_tasks_without_a_run_are_shown() -> None:
    """A cancel of a queued task, for example."""
    shown = Shown()
    outputs = SureOutputs(shown, shown.announce)

    show_all(outputs)

    assert shown.counts == {"text": 1, "files": 1, "running": 1, "completed": 1}
