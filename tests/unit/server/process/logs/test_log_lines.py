"""Log lines: without local variables, short, escaped, and not repeated too often."""

from __future__ import annotations

import io
import json
import logging
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
import structlog

from phoenix_compat.redaction import LiveSecrets
from phoenix_compat.server.process.logs import configure_logs, lines_left_out, log_lines
from phoenix_compat.server.process.logs.log_lines import (
    MAX_EVENTS,
    MAX_LINE_BYTES,
    MAX_SAME_LINES,
    WINDOW_S,
    LineHandler,
    RepeatLimit,
    key_of,
)

Logged = Callable[[], str]


@pytest.fixture(params=["console", "json"])
def logged(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Logged]:
    """Everything that was logged, in each of the formats."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    configure_logs("debug", request.param)
    yield stream.getvalue
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def handler() -> LineHandler:
    """The handler that `configure_logs` made; pytest has others."""
    [made] = [one for one in logging.getLogger().handlers if isinstance(one, LineHandler)]
    return made


def entries(text: str) -> list[str]:
    """The entries of a log: in the console's format some have further lines."""
    found: list[str] = []
    for line in text.splitlines(keepends=True):
        if line.startswith(("{", "2")) or not found:
            found.append(line)
        else:
            found[-1] += line
    return found


def crash(password: str) -> None:
    """Raise with a secret in a local variable and in the cause's frame."""
    token = f"r8_{password}"
    try:
        raise ValueError(f"of {len(token)}")  # noqa: TRY301 - the traceback is the point
    except ValueError as error:
        raise KeyError("outer") from error


def test_no_locals_in_tracebacks(logged: Logged) -> None:
    """A traceback has files, lines and errors, but no values of variables."""
    secret = "".join(reversed("2retnuh"))  # tracebacks show the source
    for log in (logging.getLogger("std"), structlog.stdlib.get_logger("own")):
        try:
            crash(secret)
        except KeyError:
            log.exception("it.crashed")

    assert logged().count("Traceback") == 4
    assert logged().count("KeyError: 'outer'") == 2
    assert "in crash" in logged()
    assert "hunter2" not in logged()
    assert "log.exception" not in logged()


def test_tracebacks_are_bounded(logged: Logged) -> None:
    """Endless recursion, a large exception group and a long message are shortened."""

    def endless() -> None:
        endless()

    for raising in (
        endless,
        lambda: (_ for _ in ()).throw(ExceptionGroup("many", [OSError("x" * 900)] * 50)),
        lambda: (_ for _ in ()).throw(ValueError("y" * 100_000)),
    ):
        try:
            raising()
        except Exception:  # the log takes whatever it is
            logging.getLogger("std").exception("it.crashed")

    assert "RecursionError" in logged()
    assert "ExceptionGroup: many" in logged()
    assert all(len(entry.encode()) <= MAX_LINE_BYTES for entry in entries(logged()))


def test_texts_of_clients_cannot_forge_lines(logged: Logged) -> None:
    """S10: newlines and escape sequences in arguments, fields and errors are escaped."""
    evil = "x\n2026-01-01T00:00:00Z [info] forged \x1b[2J\x9b"
    std, own = logging.getLogger("std"), structlog.stdlib.get_logger("own")

    std.info("JOINED %s\n  Parameters: %r", evil, {"a": evil})
    std.info("%(a)s", {"a": evil})
    std.info("unformatted " + evil)
    std.info("by extra", extra={"topic": evil})
    own.info("own.event", topic=evil, inner=[evil], error=ValueError(evil))
    try:
        raise ValueError(evil)  # noqa: TRY301 - the traceback is the point
    except ValueError:
        own.exception("own.crashed")

    assert "\x1b" not in logged()
    assert "\x9b" not in logged()
    assert not any(line.startswith("2026-01-01") for line in logged().splitlines())
    assert logged().count("forged") >= 8


class Loud:
    """An object whose repr has control characters."""

    def __repr__(self) -> str:
        return "loud \x1b[2J\u2028"


@pytest.mark.parametrize(
    "character",
    [chr(code) for code in (0, 7, 8, 0x1B, 0x7F, 0x85, 0x9B, 0x2028, 0x2029, 0x202E, 0x2066)],
)
def test_no_control_character_is_written(logged: Logged, character: str) -> None:
    """S10: wherever it stands: event, argument, field, name of a field, nested, in an error."""
    std, own = logging.getLogger("std"), structlog.stdlib.get_logger("own")
    text = f"a{character}b"

    std.info("%s %r " + text, text, [text, {text: Loud()}])
    std.info("extra", extra={f"x{character}": text})
    own.info(text, value=text, nested={text: [text, Loud()]}, **{f"name{character}": Loud()})
    try:
        raise KeyError(text, Loud())  # noqa: TRY301 - it is logged
    except KeyError:
        own.exception(text)

    written = logged().replace("\n", "")
    assert written.count("a") > 8
    assert not any(unicodedata.category(one) in {"Cc", "Zl", "Zp"} for one in written)
    assert character not in written


def test_colours_stay_and_other_codes_do_not() -> None:
    """On a terminal the renderer's own colours are the only codes."""
    render = log_lines.safe(lambda *_: "\x1b[1mbold\x1b[0m \x1b[2J\n  x", is_coloured=True)

    assert render(None, "", {}) == "\x1b[1mbold\x1b[0m \\x1b[2J\n  x"


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> LiveSecrets:
    """The secrets that the log knows while the test runs."""
    known = LiveSecrets()
    monkeypatch.setattr(log_lines, "live_secrets", known)
    return known


def test_secrets_are_hidden_wherever_they_are(logged: Logged, known: LiveSecrets) -> None:
    """In events, arguments, fields, nested values, keys, errors, and where a text is cut."""
    secret = "".join(reversed("yranac-2retnuh"))  # tracebacks show the source
    known.register(secret)
    std, own = logging.getLogger("std"), structlog.stdlib.get_logger("own")

    std.info("event " + secret)
    std.info("%s %r %s", secret, {"a": [secret]}, quote(secret + "/"))
    std.info("%s", "x" * 1_992 + secret)
    own.info("own.event", value=secret, nested={"a": [{secret: secret}]}, raw=secret.encode())
    own.info("own.event", cut="y" * 1_990 + secret, list=["z" * 192 + secret])
    for text in (secret, "w" * 490 + secret):
        try:
            try:
                raise ValueError(text)  # noqa: TRY301 - the traceback is the point
            except ValueError as error:
                raise KeyError(secret) from error
        except KeyError:
            own.exception("own.crashed")

    assert "hunter" not in logged()
    assert logged().count("[FILTERED]") >= 14


def test_a_line_with_hidden_secrets_is_still_json(logged: Logged, known: LiveSecrets) -> None:
    """Also if the secret is a number, or stands before a quote."""
    known.register("1234567890")

    structlog.stdlib.get_logger("own").info(
        "own.event", number=1234567890, nested=[1234567890.5], text='"r8_abc" pck_x"'
    )

    assert "1234567890" not in logged()
    assert "r8_abc" not in logged()
    if logged().startswith("{"):
        assert json.loads(logged())["number"] == "[FILTERED]"


@pytest.mark.parametrize(
    "value",
    [
        "é" * 100_000,
        "\x00" * 100_000,
        ["x" * 1_000] * 1_000,
        {"k" * 50_000: 1},
        10**4_000,
        b"\xff" * 90_000,
    ],
    ids=range(6),
)
def test_a_line_has_at_most_8_kib(logged: Logged, value: Any) -> None:
    """Whatever it contains, as an argument, as a field, or as many fields."""
    logging.getLogger("std").warning("one %s two %r", value, value)
    structlog.stdlib.get_logger("own").warning("own.event", value=value)
    fields = {f"field{number}": value for number in range(60)}
    structlog.stdlib.get_logger("own").warning("own.event", **fields)

    assert len(entries(logged())) == 3
    assert all(len(entry.encode()) <= MAX_LINE_BYTES for entry in entries(logged()))


def test_a_cut_line_is_still_json() -> None:
    """It says that it was cut, and how long it was."""
    line = log_lines.fitted(structlog.processors.JSONRenderer())
    fields = {f"field{number}": "é" * 900 for number in range(30)}

    found = json.loads(str(line(None, "", {"event": "own.event", **fields})))

    assert found["event"] == "own.event"
    assert found["cut_bytes"] > MAX_LINE_BYTES
    assert "[cut]" in found["field0"]


def test_numbers_are_formatted_as_usual(logged: Logged) -> None:
    """%d and %g get the numbers themselves; a wrong format loses only its own line."""
    log = logging.getLogger("std")

    log.info("%d of %g s, %s, %r, %x", 3, 1.5, None, True, 255)
    handler().handle(logging.LogRecord("std", logging.INFO, "", 1, "%d", ("no number",), None))
    log.info("the next")

    assert "3 of 1.5 s, None, True, ff" in logged()
    assert "a log line of std is lost: TypeError" in logged()
    assert "no number" not in logged()
    assert "the next" in logged()


class Clock:
    """A clock that the test sets."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_repeated_lines_are_left_out() -> None:
    """A window admits a number of lines; the rest is reported once, when the window has ended."""
    clock = Clock()
    lines = RepeatLimit(clock)
    key = ("logger", "event")

    admitted = [lines.admits(key) for _ in range(MAX_SAME_LINES + 7)]
    early = lines.take_left_out()
    clock.now_s = WINDOW_S
    again = lines.admits(key)

    assert (admitted.count(True), admitted.count(False)) == (MAX_SAME_LINES, 7)
    assert early == []
    assert again
    assert lines.take_left_out() == [(key, 7)]
    assert lines.take_left_out() == []
    assert lines.left_out == 7


def test_different_lines_are_counted_separately() -> None:
    """By event, by logger, and by the line of code that raised the error."""
    clock = Clock()
    lines = RepeatLimit(clock)
    for _ in range(MAX_SAME_LINES * 2):
        lines.admits(("logger", "event", "ValueError", "a.py", 1))

    assert lines.admits(("logger", "event", "ValueError", "a.py", 2))
    assert lines.admits(("logger", "event", "KeyError", "a.py", 1))
    assert lines.admits(("logger", "other"))
    assert lines.admits(("other", "event"))


def test_the_number_of_counted_events_is_bounded() -> None:
    """A logger whose lines all differ is limited too, without effect on other loggers."""
    clock = Clock()
    lines = RepeatLimit(clock)

    admitted = [lines.admits(("noisy", f"event {number}")) for number in range(100_000)]

    assert sum(admitted) <= MAX_SAME_LINES + MAX_EVENTS
    assert lines.admits(("quiet", "event"))
    for logger in range(2_000):
        lines.admits((f"logger {logger}", "event"))
    assert len(lines._tallies) <= MAX_EVENTS
    assert lines.take_left_out(is_over=True)[-1][1] > 90_000


def test_left_out_lines_are_reported_in_a_line(logged: Logged) -> None:
    """When the handler is closed; and they are counted."""
    log = logging.getLogger("std")
    for number in range(MAX_SAME_LINES + 5):
        log.info("joined %d", number)
    assert lines_left_out() == 5

    handler().close()

    [report] = [entry for entry in entries(logged()) if "log.lines_left_out" in entry]
    assert "joined %d" in report
    assert "5" in report
    assert len(entries(logged())) == MAX_SAME_LINES + 1


def test_lines_are_compared_by_their_format() -> None:
    """Arguments make no difference; the place of an error does."""

    def record(line: str, *arguments: object, error: Exception | None = None) -> logging.LogRecord:
        info = None if error is None else (type(error), error, error.__traceback__)
        return logging.LogRecord("a", logging.INFO, "", 1, line, arguments, info)

    assert key_of(record("x %s", 1)) == key_of(record("x %s", 2))
    assert key_of(record("x", error=ValueError())) != key_of(record("x", error=KeyError()))
    assert len(key_of(record("y" * 5_000))[1]) <= 200  # type: ignore[arg-type] # a text
