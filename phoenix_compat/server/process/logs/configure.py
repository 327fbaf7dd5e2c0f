"""Configures logging: every line of the process goes to stderr in one format."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Literal

import structlog
from structlog.types import Processor

from phoenix_compat.redaction import live_secrets
from phoenix_compat.server.process.logs.log_lines import (
    LineHandler,
    bound_values,
    fitted,
    safe,
    show_exception,
)
from phoenix_compat.server.process.logs.recent_lines import recent_lines


def configure_logs(
    level: str, style: Literal["console", "json"], filter_parameters: Sequence[str] = ()
) -> None:
    """Send every log line of the process to stderr, as text for people or as JSON.

    `log_lines` hides secrets, and limits the length of a line, its characters, and how often it is
    repeated.

    Args:
        filter_parameters: see Settings; here for URLs. Sockets filter their own parameters.
    """
    live_secrets.hide_parameters(filter_parameters)
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
                recent_lines.remember,
                fitted(safe(_renderer(style), is_coloured=sys.stderr.isatty())),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_log_level(level)
    for verbose in ("httpx", "httpcore", "replicate", "aiosqlite"):
        logging.getLogger(verbose).setLevel(logging.WARNING)


def _renderer(style: Literal["console", "json"]) -> Processor:
    if style == "json":
        return structlog.processors.JSONRenderer()
    # It never gets an exception here, but its default formatter would print local variables.
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def set_log_level(level: str) -> None:
    """Log lines of this level and above from now on."""
    logging.getLogger().setLevel(level.upper())


def lines_left_out() -> int:
    """How many repeated lines were left out since the start."""
    return sum(
        handler.repeat_limit.left_out
        for handler in logging.getLogger().handlers
        if isinstance(handler, LineHandler)
    )
