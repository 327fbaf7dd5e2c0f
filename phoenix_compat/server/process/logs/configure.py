"""Configures logging: every line of the process goes to stderr in one format."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Final, Literal

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from phoenix_compat.redaction import live_secrets
from phoenix_compat.server.process.logs.log_lines import (
    LineHandler,
    RepeatLimit,
    bound_values,
    fitted,
    safe,
    show_exception,
)
from phoenix_compat.server.process.logs.recent_lines import recent_lines
from phoenix_compat.server.process.logs.request_id import add_request_id

ACCESS_LOGGER: Final = "phoenix_compat.access"
MAX_ACCESS_LINES: Final = 10_000
"""How many lines the access log has in ten seconds; the others are left out and counted."""


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
        add_request_id,
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
    handler.setFormatter(_formatter(style, shared, recent_lines.remember, _without_owner))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_log_level(level)
    for verbose in ("httpx", "httpcore", "replicate", "aiosqlite"):
        logging.getLogger(verbose).setLevel(logging.WARNING)


def _without_owner(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Keep who uses the server out of the log; the console, for operators, can filter by it."""
    event.pop("owner", None)
    return event


def configure_access_log(
    style: Literal["off", "short", "json"], log_format: Literal["console", "json"]
) -> None:
    """Send the lines of the access log to stderr, or nowhere.

    They have a limit of their own, and are not among the last lines that operators look at.

    Args:
        style: with "json" its lines are JSON, whatever the format of the others is.
    """
    logger = logging.getLogger(ACCESS_LOGGER)
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.disabled = style == "off"
    handler = LineHandler(sys.stderr, RepeatLimit(max_same_lines=MAX_ACCESS_LINES))
    handler.setFormatter(_formatter("json" if style == "json" else log_format, []))
    logger.handlers[:] = [handler]


def _formatter(
    style: Literal["console", "json"], shared: Sequence[Processor], *seen_by: Processor
) -> structlog.stdlib.ProcessorFormatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            show_exception,
            bound_values,
            *seen_by,
            fitted(safe(_renderer(style), is_coloured=sys.stderr.isatty())),
        ],
    )


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
        for name in (None, ACCESS_LOGGER)
        for handler in logging.getLogger(name).handlers
        if isinstance(handler, LineHandler)
    )
