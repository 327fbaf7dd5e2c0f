"""Formats tracebacks for the log: bounded, without local variables and terminal control characters.

Libraries that print local variables print tokens, prompts and passwords with them, and can take
minutes to format a deeply nested value.
"""

from __future__ import annotations

import traceback
from collections import deque
from types import TracebackType
from typing import Final, TypeAlias

from phoenix_compat.bounded import brief, escaped, shortened

ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]

MAX_ERRORS: Final = 4
"""How many errors are shown of a chain of causes or an exception group."""
MAX_FRAMES: Final = 12
"""How many frames are shown of each error; the innermost ones."""
_MAX_CODE_CHARS: Final = 120
_MAX_MESSAGE_CHARS: Final = 500

_CAUSE: Final = "The above exception was the direct cause of the following exception:"
_CONTEXT: Final = "During handling of the above exception, another exception occurred:"
_MEMBER: Final = "An exception of the group below:"


def exception_text(info: ExcInfo) -> str:
    """The traceback in Python's own form, with the last error at the end."""
    parts: list[str] = []
    seen: set[int] = set()
    waiting: deque[tuple[BaseException, str]] = deque([(info[1], "")])
    while waiting and len(parts) < MAX_ERRORS:
        error, relation = waiting.popleft()
        if id(error) in seen:
            continue
        seen.add(id(error))
        text = _one(error)
        parts.append(f"{text}\n\n{relation}\n" if relation else text)
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
    """An error's class and the line that raised it, which tell one bug from another."""
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
    lines.append(_message_line(error))
    return "\n".join(lines)


def _message_line(error: BaseException) -> str:
    """The error's class and message; the message may quote a client and is escaped."""
    name = type(error).__qualname__
    if type(error).__module__ not in {"builtins", "__main__"}:
        name = f"{type(error).__module__}.{name}"
    try:
        message = str(error)
    except Exception as broken:  # noqa: BLE001 - its __str__ is broken
        message = f"(its text raised {brief(type(broken).__name__)})"
    message = escaped(shortened(message, _MAX_MESSAGE_CHARS))
    return f"{name}: {message}" if message else name
