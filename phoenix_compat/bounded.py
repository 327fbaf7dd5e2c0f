"""What strangers sent, made short enough and harmless enough for a log line or an error's text.

JSON of a client may be as deep and as large as a frame. Everything here looks at so many levels and
values of it and no further, so its cost does not depend on what was sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

MAX_LEVELS: Final = 8
MAX_VALUES: Final = 50
"""As many as Elixir's `inspect` shows."""
MAX_TEXT_CHARS: Final = 200
MAX_CHARS: Final = 600
"""All texts of one value together, their keys included."""
_MAX_INTEGER_BITS: Final = 256

ELLIPSIS: Final = "…"

# Control characters (C0, DEL, C1), what ends a line elsewhere, what turns the direction of writing,
# and halves of surrogate pairs, which cannot be written at all.
_HARMFUL: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def _never(_key: str) -> bool:
    return False


def escaped(text: str) -> str:
    r"""Text in which nothing ends a line or steers a terminal: ESC becomes `\x1b`."""
    return _HARMFUL.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode()


def shortened(text: str, max_chars: int = MAX_TEXT_CHARS) -> str:
    """The beginning of a text, with an ellipsis when there was more."""
    return text if len(text) <= max_chars else text[:max_chars] + ELLIPSIS


def plain(value: object, max_chars: int = MAX_TEXT_CHARS) -> str:
    """A value for people: a text as it is, but short and harmless; anything else as `brief`."""
    if isinstance(value, str):
        return escaped(shortened(value, max_chars))
    return brief(value, max_chars)


def brief(value: object, max_chars: int = MAX_TEXT_CHARS) -> str:
    """As `repr`, of what `bounded_copy` keeps of a value."""
    if isinstance(value, str):
        return repr(shortened(value, max_chars))
    try:
        text = repr(bounded_copy(value))
    except Exception:  # noqa: BLE001 - an object of somebody's class; RecursionError among others
        text = f"<{type(value).__name__}>"
    return shortened(text, max_chars)


def bounded_copy(value: Any, hidden: Callable[[str], bool] = _never, shown_as: str = "") -> Any:
    """A copy of JSON down to MAX_LEVELS, of at most MAX_VALUES values and MAX_CHARS characters.

    An ellipsis stands for what is left out. Values that are no JSON are kept as they are.

    Args:
        hidden: of which keys the values are replaced.
        shown_as: by what.
    """
    return _Copying(hidden, shown_as).of(value, MAX_LEVELS)


class _Copying:
    """One copy in the making, and what is left of its bounds."""

    def __init__(self, hidden: Callable[[str], bool], shown_as: str) -> None:
        self._hidden = hidden
        self._shown_as = shown_as
        self._values_left = MAX_VALUES
        self._chars_left = MAX_CHARS

    def of(self, value: Any, levels: int) -> Any:
        self._values_left -= 1
        if isinstance(value, str | bytes | bytearray):
            return self._text(value)
        if isinstance(value, dict):
            return self._dict(value, levels)
        if isinstance(value, list | tuple):
            return self._list(value, levels)
        if isinstance(value, int) and value.bit_length() > _MAX_INTEGER_BITS:
            return ELLIPSIS
        return value

    def _dict(self, value: dict[Any, Any], levels: int) -> Any:
        if value and levels == 0:
            return {ELLIPSIS: ELLIPSIS}
        kept: dict[Any, Any] = {}
        for key, inner in value.items():
            if self._is_full:
                kept[ELLIPSIS] = ELLIPSIS
                break
            # The whole key decides, and not what is shown of it.
            is_hidden = isinstance(key, str) and self._hidden(key)
            shown = self._text(key) if isinstance(key, str) else key
            kept[shown] = self._shown_as if is_hidden else self.of(inner, levels - 1)
        return kept

    def _list(self, value: list[Any] | tuple[Any, ...], levels: int) -> list[Any]:
        if value and levels == 0:
            return [ELLIPSIS]
        kept: list[Any] = []
        for inner in value:
            if self._is_full:
                kept.append(ELLIPSIS)
                break
            kept.append(self.of(inner, levels - 1))
        return kept

    @property
    def _is_full(self) -> bool:
        return self._values_left <= 0 or self._chars_left <= 0

    def _text(self, text: Any) -> Any:
        room = min(MAX_TEXT_CHARS, max(self._chars_left, 0))
        self._chars_left -= len(text)
        if len(text) <= room:
            return text
        return text[:room] + (ELLIPSIS if isinstance(text, str) else ELLIPSIS.encode())


MAX_NESTING: Final = 64
"""Levels of arrays and objects that the task server takes; orders have fewer than ten."""

TOO_DEEP: Final = f"nests arrays and objects more than {MAX_NESTING} levels deep"


def is_too_deep(value: object, max_levels: int = MAX_NESTING) -> bool:
    """Whether JSON has more levels of arrays and objects; goes level by level, never recursing.

    What is accepted is written and compared later, by code that may recurse.

    Args:
        max_levels: 0 admits only what is neither array nor object.
    """
    level: list[object] = [value]
    for _ in range(max_levels + 1):
        containers = [item for item in level if isinstance(item, dict | list)]
        if not containers:
            return False
        level = [
            inner
            for item in containers
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return True
