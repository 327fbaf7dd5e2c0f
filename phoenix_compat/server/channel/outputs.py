"""Broadcasts texts while they are written: the event `output` on `task:<id>`.

    {"task_id": …, "seq": 17, "text": " upon a time"}

`seq` is the length of the text after this event, in UTF-16 code units. So each event says where its
part begins: after `seq` minus the length of the part. That is either where the last one ended, or 0
if the event has the whole text: the first one after a join, or one that replaces what was written.

Changes of one turn of the event loop are one event. No event replaces another one, not even for a
slow client. One that falls too far behind is disconnected, and gets the whole text when it rejoins.

Files that are ready before the others go to the clients that joined with `{"partial": true}`, as
`{"task_id": …, "seq": 2, "urls": ["…"]}`. Here `seq` is the number of files after this event.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import structlog

from phoenix_compat.endpoint import Endpoint
from phoenix_compat.errors import EncodeError
from phoenix_compat.tasks.model.file_links import FILES_PATH, with_file_links
from phoenix_compat.tasks.model.task import JSONObject, Task, TaskId
from phoenix_compat.tasks.streams.written_text import WrittenText, utf16_units

OUTPUT: Final = "output"
"""The event with a part of an output."""

MAX_TEXTS: Final = 256
"""With the longest text each they use 64 MiB."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class OutputCounts:
    """What has happened since the start.

    Attributes:
        texts: texts that are being written.
        broadcasts: events `output` that were broadcast.
        not_shown: changes of texts that clients see only at the end, because there are too many
            texts or a text cannot be encoded.
    """

    texts: int = 0
    broadcasts: int = 0
    not_shown: int = 0


@dataclass(slots=True)
class _Shown:
    """A text, and what clients have of it.

    Attributes:
        chars, version: those of the text when it was last broadcast.
        earlier: what clients have of the same prediction from another leader; None as soon as this
            text is as long.
    """

    text: WrittenText
    chars: int = 0
    version: int = 0
    earlier: str | None = None

    @property
    def broadcast(self) -> str:
        """What clients have; "" also if they will get the whole text with the next broadcast."""
        if self.earlier is not None:
            return self.earlier
        return self.text.text[: self.chars] if self.version == self.text.version else ""


class _Files(NamedTuple):
    """The files of a running prediction that are kept, in this process."""

    prediction_id: str
    files: tuple[JSONObject, ...]


class TaskOutputs:
    """The outputs that are not complete, in this process. Each is forgotten when its task ends.

    Attributes:
        counts: see OutputCounts.
    """

    def __init__(self, endpoint: Endpoint, *, max_texts: int = MAX_TEXTS) -> None:
        self.counts = OutputCounts()
        self._endpoint = endpoint
        self._max_texts = max_texts
        self._shown: OrderedDict[str, _Shown] = OrderedDict()
        self._changed: dict[str, None] = {}
        self._files: dict[str, _Files] = {}

    def announce_text(self, task_id: TaskId, text: WrittenText) -> None:
        """Broadcast a change of a text at the end of the loop's turn; the worker calls this."""
        if not self._note(task_id, text):
            return
        if not self._changed:
            asyncio.get_running_loop().call_soon(self._flush_all)
        self._changed[task_id] = None

    def flush(self, task_id: str) -> None:
        """Broadcast what clients do not have of a text yet."""
        self._changed.pop(task_id, None)
        shown = self._shown.get(task_id)
        if shown is None or not self._catch_up(shown):
            return
        text = shown.text
        is_replaced = shown.version != text.version
        start = 0 if is_replaced else shown.chars
        if start == text.chars and not is_replaced:
            return
        part = text.since(start)
        shown.chars, shown.version = text.chars, text.version
        try:
            self._endpoint.local_broadcast(
                f"task:{task_id}", OUTPUT, _payload(task_id, text.units, part)
            )
        except EncodeError as error:
            log.warning("output.not_shown", task_id=task_id, reason=str(error))
            self.counts.not_shown += 1
            return
        self.counts.broadcasts += 1
        self._relay(task_id, text, start, part, is_replaced=is_replaced)

    def announce_files(
        self, task_id: TaskId, prediction_id: str, files: Sequence[JSONObject]
    ) -> None:
        """Broadcast files of a running prediction to the clients that asked for them."""
        if self._show_files(task_id, prediction_id, files):
            self._relay_files(task_id, prediction_id, files)

    def present_files(self, task_id: str, base_url: str) -> JSONObject | None:
        """The payload of `output` with all files so far; None if there are none.

        Args:
            base_url: the address by which the client reaches this server.
        """
        known = self._files.get(task_id)
        return None if known is None else files_payload(task_id, 0, known.files, base_url)

    def _show_files(self, task_id: str, prediction_id: str, files: Sequence[JSONObject]) -> bool:
        """Broadcast what is new in this process; returns False if there are too many tasks."""
        known = self._files.get(task_id)
        if known is None and len(self._files) >= self._max_texts:
            self.counts.not_shown += 1
            return False
        is_new = known is None or known.prediction_id != prediction_id
        start = 0 if is_new or known is None else len(known.files)
        if len(files) <= start:
            return True
        self._files[task_id] = _Files(prediction_id, tuple(files))
        self.counts.broadcasts += 1
        self._endpoint.local_broadcast(
            files_topic(task_id), OUTPUT, {"start": start, "files": list(files[start:])}
        )
        return True

    async def read(self, task: Task) -> None:
        """Get the text of a task that a client joins, if another process has it."""

    def present(self, task_id: str) -> JSONObject | None:
        """The payload of `output` with the text so far; None if there is none.

        It is the text that was broadcast: a client that has joined gets the next broadcast too.
        """
        shown = self._shown.get(task_id)
        text = "" if shown is None else shown.broadcast
        return _payload(task_id, utf16_units(text), text) if text else None

    def end(self, task_id: str) -> None:
        """Forget the outputs of a task that has ended; its result has them."""
        self._changed.pop(task_id, None)
        self._files.pop(task_id, None)
        if self._shown.pop(task_id, None) is not None:
            self.counts.texts -= 1

    def _note(self, task_id: str, text: WrittenText) -> bool:
        """Remember a text; returns False if there are too many."""
        shown = self._shown.get(task_id)
        if shown is not None and shown.text is text:
            return True
        if shown is None and len(self._shown) >= self._max_texts:
            self.counts.not_shown += 1
            return False
        if shown is None:
            self.counts.texts += 1
            self._shown[task_id] = _Shown(text)
        elif shown.text.prediction_id == text.prediction_id and shown.broadcast:
            # This process has become the leader, and reads the text from its beginning.
            self._shown[task_id] = _Shown(text, earlier=shown.broadcast)
        else:
            self._shown[task_id] = _Shown(text, version=-1)
        return True

    def _catch_up(self, shown: _Shown) -> bool:
        """Compare with what clients have already; returns whether there is something to tell."""
        if shown.earlier is None:
            return True
        current = shown.text.text
        if len(current) < len(shown.earlier) and shown.earlier.startswith(current):
            return False
        if current.startswith(shown.earlier):
            shown.chars, shown.version = len(shown.earlier), shown.text.version
        else:
            shown.version = -1
        shown.earlier = None
        return True

    def _flush_all(self) -> None:
        for task_id in tuple(self._changed):
            self.flush(task_id)
        self._changed.clear()

    def _relay(
        self, task_id: str, text: WrittenText, start: int, part: str, *, is_replaced: bool
    ) -> None:
        """Tell other processes what was broadcast here."""

    def _relay_files(self, task_id: str, prediction_id: str, files: Sequence[JSONObject]) -> None:
        """Tell other processes which files are kept."""


def files_topic(task_id: str) -> str:
    """The topic of a task's early files. Clients cannot join it; their channels subscribe to it."""
    return f"task_files:{task_id}"


def files_payload(
    task_id: str, start: int, files: Sequence[JSONObject], base_url: str
) -> JSONObject:
    """The payload of `output` with files: `seq` is how many there are after this event.

    Args:
        start: how many there were before.
        base_url: the address by which the client reaches this server.
    """
    names = [f"{FILES_PATH}{str(file['path']).rpartition('/')[2]}" for file in files]
    linked = with_file_links({"urls": names}, files, base_url)
    return {"task_id": task_id, "seq": start + len(files), "urls": linked["urls"]}


def _payload(task_id: str, units: int, part: str) -> JSONObject:
    return {"task_id": task_id, "seq": units, "text": part}
