"""Log lines: one format for this package, aiohttp and everybody else, on stderr."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from structlog.types import Processor

from phoenix_compat.server.process.log_lines import (
    LineHandler,
    bound_values,
    fitted,
    show_exception,
)


def configure_logs(level: str, style: Literal["console", "json"]) -> None:
    """Send every log line of the process to stderr, for people or as JSON lines.

    What a line may hold, and how many there may be: see `log_lines`.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = LineHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                show_exception,
                bound_values,
                fitted(_renderer(style)),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_log_level(level)
    for chatty in ("httpx", "httpcore", "replicate", "aiosqlite"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _renderer(style: Literal["console", "json"]) -> Processor:
    if style == "json":
        return structlog.processors.JSONRenderer()
    # It is given no exception, but its default would be one that prints locals.
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def set_log_level(level: str) -> None:
    """Send lines of this level and above from now on."""
    logging.getLogger().setLevel(level.upper())


def lines_left_out() -> int:
    """How many lines were left out, because too many said the same."""
    return sum(
        handler.same_lines.left_out
        for handler in logging.getLogger().handlers
        if isinstance(handler, LineHandler)
    )
