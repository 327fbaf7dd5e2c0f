"""What the package logs with the standard library, as the task server's formatter sees it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({})))


class _Collector(logging.Handler):
    """Keeps each record as its event and its fields."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        event = {"event": record.getMessage(), "log_level": record.levelname.lower()}
        self._lines.append({**event, **fields})


@contextmanager
def logged_lines() -> Iterator[list[dict[str, Any]]]:
    """The log lines of the package while the block runs: `event`, `log_level` and the fields."""
    lines: list[dict[str, Any]] = []
    logger = logging.getLogger("phoenix_compat")
    collector = _Collector(lines)
    logger.addHandler(collector)
    try:
        yield lines
    finally:
        logger.removeHandler(collector)
