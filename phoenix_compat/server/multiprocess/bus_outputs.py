"""Outputs in a server with several processes: the one that runs a task writes, the others follow.

Each part that the writer broadcasts goes over the bus with its position, so every process has the
whole text for clients that join it. A process that may lack a part asks the writer for the text. A
new writer reads the text from its beginning again, and clients get only what is new to them.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import msgspec
import structlog

from phoenix_compat.background import BackgroundTask
from phoenix_compat.cluster.bus import Bus, CallError
from phoenix_compat.cluster.node_listener import NodeListener
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.server.channel.outputs import TaskOutputs
from phoenix_compat.tasks.model.task import JSONObject, Task
from phoenix_compat.tasks.model.task_types import TaskType
from phoenix_compat.tasks.streams.written_text import WrittenText

_WRITTEN: Final = "output.written"
_FILES: Final = "output.files"
_READ: Final = "output.read"
_RETRY_S: Final = 0.2
_MAX_TRIES: Final = 25
"""Reads of one text that fail in a row; after these, clients get the text with the result."""

log = structlog.stdlib.get_logger(__name__)


class _Part(msgspec.Struct, array_like=True, frozen=True):
    """A part of a text that its writer broadcast; it begins after `start` characters.

    Attributes:
        is_replaced: whether the part is the whole text, in place of another one.
    """

    task_id: str
    prediction_id: str
    start: int
    text: str
    is_replaced: bool


_part_decoder: Final = msgspec.msgpack.Decoder(_Part)
_text_decoder: Final = msgspec.msgpack.Decoder(_Part | None)


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    """All files of a running prediction that are kept so far."""

    task_id: str
    prediction_id: str
    files: list[JSONObject]


_kept_decoder: Final = msgspec.msgpack.Decoder(_Kept)


class BusOutputs(TaskOutputs, NodeListener, ABC):
    """The texts that are being written, in one process of several.

    Args:
        task_types: by name; a reload changes them in place.
    """

    def __init__(self, endpoint: Endpoint, bus: Bus, task_types: Mapping[str, TaskType]) -> None:
        super().__init__(endpoint)
        self._bus = bus
        self._task_types = task_types
        self._missing: dict[str, int] = {}
        self._reading: BackgroundTask | None = None

    def begin(self) -> None:
        """Register with the bus."""
        self._bus.on_cast(_WRITTEN, self._receive)
        self._bus.on_cast(_FILES, self._receive_files)
        self._bus.on_call(_READ, self._answer)
        self._bus.listen(self)

    async def stop(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            await self._reading.stop()

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """The task that reads texts from other processes, while it runs."""
        is_reading = self._reading is not None and self._reading.is_running
        return (self._reading,) if self._reading is not None and is_reading else ()

    async def read(self, task: Task) -> None:
        """Get the text of a task that a client joins from its writer, if it is not here yet."""
        type_ = self._task_types.get(task.type)
        # Not every move is announced, so it may be running already if it is known as queued.
        if task.status.is_terminal or type_ is None or not type_.writes_text:
            return
        if task.id in self._shown:
            return
        try:
            await self._fetch(task.id)
        except CallError as error:
            log.warning("output.read_failed", task_id=task.id, reason=str(error))
            self._read_later(task.id)

    @abstractmethod
    def _writer_of(self, task_id: str) -> int | None:
        """The node that writes the text of a task; None if it is not known."""

    @abstractmethod
    def _is_written_here(self, task_id: str) -> bool:
        """Whether this node writes it, and the others follow."""

    # Called by the bus.

    def gap(self, node: int) -> None:
        """Read again what this node writes: parts of it were lost."""
        self._drop_unwatched()
        for task_id in self._shown:
            if self._writer_of(task_id) == node:
                self._read_later(task_id)

    def _receive(self, node: int, body: bytes) -> None:
        part = _part_decoder.decode(body)
        self._note_writer(part.task_id, node)
        if not self._is_followed(part.task_id):
            return
        shown = self._shown.get(part.task_id)
        if shown is None or shown.text.prediction_id != part.prediction_id:
            if part.start and not part.is_replaced:
                self._read_later(part.task_id)
                return
            text = WrittenText(part.prediction_id)
        else:
            text = shown.text
        if part.is_replaced:
            text.correct(part.text, is_final=True)
        elif not text.write(part.start, part.text):
            self._read_later(part.task_id)
            return
        self._follow(part.task_id, text)

    def _receive_files(self, _node: int, body: bytes) -> None:
        # Each message has all files, so the next one makes up for one that was lost.
        kept = _kept_decoder.decode(body)
        self._show_files(kept.task_id, kept.prediction_id, kept.files)

    def _note_writer(self, task_id: str, node: int) -> None:
        """Another node writes the text of a task."""

    def _is_followed(self, task_id: str) -> bool:
        """Whether others' text of this task is shown here."""
        del task_id
        return True

    # Reading from the writer.

    def _drop_unwatched(self) -> None:
        """Forget others' texts without clients here; those of them that go on are read again."""
        watched = self._endpoint.pubsub.topics
        for task_id in (*self._shown, *self._files):
            if f"task:{task_id}" not in watched and not self._is_written_here(task_id):
                self.end(task_id)

    def _follow(self, task_id: str, text: WrittenText) -> None:
        if self._note(task_id, text):
            self.flush(task_id)

    async def _fetch(self, task_id: str) -> None:
        """Read the text of a task from its writer. Raises CallError."""
        node = self._writer_of(task_id)
        if node is None:
            raise CallError("no process is known to write it")
        if node != self._bus.node:
            await self._bus.call(
                node, _READ, task_id.encode(), on_reply=partial(self._take, task_id)
            )

    def _take(self, task_id: str, body: bytes) -> None:
        """Take over the writer's text. Parts that it broadcasts later arrive later."""
        whole = _text_decoder.decode(body)
        if whole is None:
            self.end(task_id)
            return
        shown = self._shown.get(task_id)
        is_known = shown is not None and shown.text.prediction_id == whole.prediction_id
        text = shown.text if shown is not None and is_known else WrittenText(whole.prediction_id)
        text.correct(whole.text, is_final=True)
        self._follow(task_id, text)

    async def _answer(self, _node: int, body: bytes) -> bytes:
        """Answer another process with what was broadcast here."""
        task_id = body.decode()
        shown = self._shown.get(task_id)
        whole = None
        if shown is not None and shown.broadcast:
            prediction_id = shown.text.prediction_id
            whole = _Part(task_id, prediction_id, 0, shown.broadcast, is_replaced=True)
        return msgspec.msgpack.encode(whole)

    def _read_later(self, task_id: str) -> None:
        self._missing.setdefault(task_id, _MAX_TRIES)
        if self._reading is None or not self._reading.is_running:
            self._reading = BackgroundTask("outputs-read", self._read_missing, is_endless=False)
            self._reading.start()

    async def _read_missing(self) -> None:
        while self._missing:
            task_id, tries = next(iter(self._missing.items()))
            del self._missing[task_id]
            try:
                await self._fetch(task_id)
            except CallError as error:
                log.warning("output.read_failed", task_id=task_id, reason=str(error))
                if tries > 1:
                    self._missing[task_id] = tries - 1
                await asyncio.sleep(_RETRY_S)

    def _relay(
        self, task_id: str, text: WrittenText, start: int, part: str, *, is_replaced: bool
    ) -> None:
        if self._is_written_here(task_id):
            body = _Part(task_id, text.prediction_id, start, part, is_replaced=is_replaced)
            self._bus.cast(_WRITTEN, msgspec.msgpack.encode(body))

    def _relay_files(self, task_id: str, prediction_id: str, files: Sequence[JSONObject]) -> None:
        body = _Kept(task_id, prediction_id, list(files))
        self._bus.cast(_FILES, msgspec.msgpack.encode(body))
