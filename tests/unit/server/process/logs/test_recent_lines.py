"""The last log lines in memory: bounded, in order, and without secrets."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from phoenix_compat.redaction import live_secrets
from phoenix_compat.server.process.logs import configure_logs
from phoenix_compat.server.process.logs.recent_lines import (
    MAX_LINE_BYTES,
    RecentLines,
    recent_lines,
)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[structlog.stdlib.BoundLogger]:
    """The server's way to log, to a stream that nobody reads."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr("sys.stderr", io.StringIO())
    configure_logs("debug", "console")
    yield structlog.stdlib.get_logger("tests.recent")
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def remember(lines: RecentLines, event: str, **fields: object) -> None:
    """Keep a line with these fields."""
    lines.remember(None, "", {"event": event, "level": "info", **fields})


def test_lines_are_kept_as_they_are_written(log: structlog.stdlib.BoundLogger) -> None:
    """Level, logger, event and fields; secrets are hidden, also those that were known later."""
    before = recent_lines.after(0)[-1].number if len(recent_lines) else 0
    late = "late-secret-of-a-test-4711"
    log.warning("task.failed", task_id="t-1", token="r8_abcdefghijklmnop", note=f"has {late}")
    logging.getLogger("tests.plain").info("plain %s", "line\x1b[2J")
    live_secrets.register(late)

    first, second = recent_lines.after(before)

    assert (first.number, first.level, first.event) == (before + 1, "warning", "task.failed")
    assert (first.logger, first.at[-1]) == ("tests.recent", "Z")
    assert first.fields == {"task_id": "t-1", "token": "[FILTERED]", "note": "has [FILTERED]"}
    assert (second.logger, second.event) == ("tests.plain", "plain line\\x1b[2J")


def test_an_exception_is_a_field(log: structlog.stdlib.BoundLogger) -> None:
    """The traceback is kept, without local variables."""
    before = recent_lines.after(0)[-1].number if len(recent_lines) else 0
    try:
        raise ValueError("bad")  # noqa: TRY301 - it is what is logged
    except ValueError:
        log.exception("task.crashed")

    [line] = recent_lines.after(before)

    assert line.level == "error"
    assert line.fields["exception"].endswith("ValueError: bad")


def test_the_number_of_lines_is_bounded() -> None:
    """The oldest lines are dropped and counted, and the numbers go on."""
    lines = RecentLines(max_lines=3)
    for number in range(5):
        remember(lines, f"event-{number}")

    assert [(line.number, line.event) for line in lines.after(0)] == [
        (3, "event-2"),
        (4, "event-3"),
        (5, "event-4"),
    ]
    assert [line.number for line in lines.after(4)] == [5]
    assert lines.after(5) == lines.after(99) == []
    assert (len(lines), lines.dropped) == (3, 2)


def test_their_size_is_bounded() -> None:
    """A long line is cut, and many of them push others out."""
    lines = RecentLines(max_bytes=20_000)
    for _ in range(50):
        remember(
            lines, "x" * 30_000, text="y" * 30_000, many={str(n): "z" * 100 for n in range(99)}
        )

    assert len(lines) > 1
    assert lines.size_bytes <= 20_000
    assert lines.after(0)[-1].fields["cut_bytes"] > MAX_LINE_BYTES
