"""What one client of a task's stream must be sent next. No I/O.

The client always gets the newest state; states that it was too slow for are left out. Parts of the
text are put together until they are sent, so what waits is never longer than the text.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from phoenix_compat.protocol.message import DISCONNECT, Broadcast
from phoenix_compat.server.backends.stream_position import Position, state_checksum
from phoenix_compat.server.channel.feed import PROGRESS, TaskFeed
from phoenix_compat.server.channel.outputs import OUTPUT
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.streams.written_text import utf16_units

_EVENTS: Final = {TaskStatus.COMPLETED: "result", TaskStatus.FAILED: "error"}
_dumps: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class WatchedTask:
    """One client's view of a task.

    Args:
        task: what `TaskFeed.read` returned.
        base_url: the address by which the client reaches this server.
        position: what the client has already.

    Attributes:
        news: set when there is something to send, or the stream must end.
        is_ended: whether the last event was taken, or the stream must end without it.
    """

    def __init__(self, feed: TaskFeed, task: Task, base_url: str, position: Position) -> None:
        self.news = asyncio.Event()
        self.is_ended = False
        self._feed = feed
        self._task = feed.newest(task)
        self._base_url = base_url
        self._position = position
        self._files_sent = 0
        self._part_start = 0
        self._part: list[str] = []
        self._resume()

    def _resume(self) -> None:
        """Find out what the client lacks of the text so far."""
        written = self._feed.outputs.present(self._task.id)
        if written is not None and not self._task.status.is_terminal:
            start, part = self._position.missing(written["text"])
            self._part_start, self._part = start, [part]
            if not start:
                self._position = self._position._replace(units=0, text=0)
        self.news.set()

    def has_everything(self) -> bool:
        """Whether the task has ended and the client knows how."""
        return self._task.status.is_terminal and self._position.state == state_checksum(self._task)

    def notice(self, broadcast: Broadcast) -> None:
        """Note a broadcast on one of the task's topics, or on that of the owner's sockets."""
        if broadcast.event == PROGRESS:
            self._task = self._feed.newest(self._task)
        elif broadcast.event == OUTPUT:
            self._notice_output(broadcast.payload)
        elif broadcast.event == DISCONNECT:
            self.is_ended = True
        self.news.set()

    def end(self) -> None:
        """End the stream."""
        self.is_ended = True
        self.news.set()

    def take(self) -> bytes:
        """What must be sent now, as server-sent events."""
        self.news.clear()
        if self.is_ended:
            return b""
        events = [*self._text_events(), *self._file_events()]
        if self._position.state != state_checksum(self._task):
            self._position = self._position.with_state(self._task)
            name = _EVENTS.get(self._task.status, PROGRESS)
            events.append(self._event(name, self._feed.payload(self._task, self._base_url)))
        self.is_ended = self._task.status.is_terminal
        return b"".join(events)

    def _notice_output(self, payload: Any) -> None:
        text = payload.get("text")
        if text is None:  # files, which `_file_events` reads
            return
        start = payload["seq"] - utf16_units(text)
        if not start:
            self._part_start, self._part = 0, []
        self._part.append(text)

    def _text_events(self) -> list[bytes]:
        part = "".join(self._part)
        self._part = []
        if not part:
            return []
        self._position = self._position.with_text(self._part_start, part)
        self._part_start = units = self._position.units
        return [self._event(OUTPUT, {"task_id": self._task.id, "seq": units, "text": part})]

    def _file_events(self) -> list[bytes]:
        known = self._feed.outputs.present_files(self._task.id, self._base_url)
        if known is None or known["seq"] == self._files_sent:
            return []
        start = self._files_sent if known["seq"] > self._files_sent else 0
        self._files_sent = known["seq"]
        return [self._event(OUTPUT, {**known, "urls": known["urls"][start:]})]

    def _event(self, name: str, payload: Any) -> bytes:
        data = _dumps(payload)
        return f"event: {name}\nid: {self._position.event_id}\ndata: {data}\n\n".encode()
