"""Tracebacks for the log: no locals, a bounded number of lines, and nothing that steers a terminal.

Libraries that print the values of local variables print tokens, prompts and passwords with them,
and to format a deep value takes minutes.
"""

from __future__ import annotations

import traceback
from collections import deque
from types import TracebackType
from typing import Final, TypeAlias

from phoenix_compat.bounded import brief, escaped, shortened

ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]

MAX_ERRORS: Final = 4
"""Errors that caused each other, or are of one group."""
MAX_FRAMES: Final = 12
"""Of each error, the innermost."""
_MAX_CODE_CHARS: Final = 120
_MAX_WORDS_CHARS: Final = 500

_CAUSE: Final = "The above exception was the direct cause of the following exception:"
_CONTEXT: Final = "During handling of the above exception, another exception occurred:"
_MEMBER: Final = "An exception of the group below:"


def exception_text(info: ExcInfo) -> str:
    """What happened and where, as Python tells it, the last error at the end."""
    parts: list[str] = []
    seen: set[int] = set()
    waiting: deque[tuple[BaseException, str]] = deque([(info[1], "")])
    while waiting and len(parts) < MAX_ERRORS:
        error, relation = waiting.popleft()
        if id(error) in seen:
            continue
        seen.add(id(error))
        parts.append(f"{_one(error)}\n\n{relation}\n" if relation else _one(error))
        if isinstance(error, BaseExceptionGroup):
            waiting.extend((member, _MEMBER) for member in error.exceptions[:MAX_ERRORS])
        if error.__cause__ is not None:
            waiting.append((error.__cause__, _CAUSE))
        elif error.__context__ is not None and not error.__suppress_context__:
            waiting.append((error.__context__, _CONTEXT))
    if waiting:
        parts.append("(and further exceptions)\n")
    return "\n".join(reversed(parts))


def place_of(error: BaseException) -> tuple[str, str, int]:
    """The kind of an error and the line that raised it: what tells one bug from another."""
    frame = error.__traceback__
    if frame is None:
        return type(error).__name__, "", 0
    while frame.tb_next is not None:
        frame = frame.tb_next
    return type(error).__name__, frame.tb_frame.f_code.co_filename, frame.tb_lineno


def _one(error: BaseException) -> str:
    lines = []
    if error.__traceback__ is not None:
        lines.append("Traceback (most recent call last):")
        for frame in traceback.extract_tb(error.__traceback__, limit=-MAX_FRAMES):
            lines.append(f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}')
            if frame.line:
                lines.append(f"    {shortened(frame.line, _MAX_CODE_CHARS)}")
    lines.append(_words(error))
    return "\n".join(lines)


def _words(error: BaseException) -> str:
    """The error's own line; what it quotes may be a client's."""
    name = type(error).__qualname__
    if type(error).__module__ not in {"builtins", "__main__"}:
        name = f"{type(error).__module__}.{name}"
    try:
        words = str(error)
    except Exception as broken:  # noqa: BLE001 - an error that cannot say what it is
        words = f"(its text raised {brief(type(broken).__name__)})"
    words = escaped(shortened(words, _MAX_WORDS_CHARS))
    return f"{name}: {words}" if words else name
