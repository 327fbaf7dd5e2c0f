"""Shows the last log lines of all processes, those that fit to a filter."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from operator import attrgetter
from typing import Final, Literal, TypeAlias

import msgspec

from phoenix_compat.server.inspection.processes import Processes
from phoenix_compat.server.process.logs.recent_lines import MAX_LINES, LogLine, RecentLines

MAX_PAGE: Final = 1_000
MAX_PAGE_BYTES: Final = 512 * 2**10
"""The most bytes of lines of one process in an answer; of more the newest are given."""

_LIST: Final = "logs.list"

Level: TypeAlias = Literal["debug", "info", "warning", "error"]

_LEVELS: Final[Mapping[str, int]] = {
    "debug": 10,
    "info": 20,
    "warning": 30,
    "error": 40,
    "critical": 50,
    "exception": 40,
}


class LogQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which lines to show.

    Attributes:
        level: the least important level.
        text: only lines with this text in their event, logger or fields.
        task: only lines about the task with this id.
        owner: only lines about this owner.
        after: by process, the number of the last line that was shown; only later ones are given.
        limit: the newest lines that fit; at most MAX_PAGE.
    """

    level: Level = "debug"
    text: str = ""
    task: str = ""
    owner: str = ""
    after: dict[str, int] = {}
    limit: int = 200

    def __post_init__(self) -> None:
        """Check the bounds."""
        if not 1 <= self.limit <= MAX_PAGE:
            raise ValueError(f"limit must be 1 to {MAX_PAGE}")


class ShownLine(LogLine, frozen=True, kw_only=True):
    """A line, and the number of its process."""

    node: int


class LogPage(msgspec.Struct, frozen=True, kw_only=True):
    """Lines in the order of time.

    Attributes:
        after: what to ask for next time.
        kept: how many lines the processes keep, whatever the filter.
        max_kept: the most lines that each process keeps.
        silent: the processes that did not answer.
    """

    lines: tuple[ShownLine, ...]
    after: dict[str, int]
    kept: int
    max_kept: int = MAX_LINES
    silent: tuple[int, ...] = ()


_query: Final = msgspec.json.Decoder(LogQuery)
_page: Final = msgspec.json.Decoder(LogPage)


class LogLines:
    """The last log lines of all processes of this server."""

    def __init__(self, processes: Processes, recent: RecentLines) -> None:
        self._processes = processes
        self._recent = recent
        processes.answer(_LIST, self._answer_list)

    async def list(self, query: LogQuery) -> LogPage:
        """The newest lines that fit, oldest first."""
        answers = await self._processes.ask_all(_LIST, msgspec.json.encode(query))
        pages = [_page.decode(body) for body in answers.by_node.values()]
        lines = heapq.merge(*(page.lines for page in pages), key=attrgetter("at"))
        after = dict(query.after)
        for page in pages:
            after |= page.after
        return LogPage(
            lines=tuple(lines)[-query.limit :],
            after=after,
            kept=sum(page.kept for page in pages),
            silent=answers.silent,
        )

    async def _answer_list(self, body: bytes) -> bytes:
        query = _query.decode(body)
        node = self._processes.node
        after = query.after.get(str(node), 0)
        lines = self._recent.after(after)
        if not lines and after and not self._recent.after(after - 1):
            lines = self._recent.after(0)  # the process was restarted, and counts from 1 again
        fitting = [line for line in lines if _fits(line, query)][-query.limit :]
        page = LogPage(
            lines=tuple(
                ShownLine(node=node, **msgspec.structs.asdict(line)) for line in _newest(fitting)
            ),
            after={str(node): lines[-1].number if lines else after},
            kept=len(self._recent),
        )
        return msgspec.json.encode(page)


def _fits(line: LogLine, query: LogQuery) -> bool:
    if _LEVELS.get(line.level, 0) < _LEVELS[query.level]:
        return False
    fields = line.fields
    if query.task and query.task not in {fields.get("task_id"), fields.get("id")}:
        return False
    if query.owner and fields.get("owner") != query.owner:
        return False
    text = query.text
    return not text or (
        text in line.event
        or text in line.logger
        or any(text in str(value) or text in name for name, value in fields.items())
    )


def _newest(lines: list[LogLine]) -> list[LogLine]:
    """The newest lines that fit into an answer."""
    size_bytes = 0
    for index in range(len(lines) - 1, -1, -1):
        size_bytes += len(msgspec.json.encode(lines[index]))
        if size_bytes > MAX_PAGE_BYTES:
            return lines[index + 1 :]
    return lines
