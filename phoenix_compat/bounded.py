"""Makes untrusted values short and safe enough for log lines and error messages.

JSON from a client may be as deep and as large as a frame. The functions here look at a limited
number of levels and values, so their cost does not depend on what was sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

MAX_LEVELS: Final = 8
MAX_VALUES: Final = 50
"""The limit of Elixir's `inspect`."""
MAX_TEXT_CHARS: Final = 200
MAX_CHARS: Final = 600
"""The limit for all strings of one value together, keys included."""
_MAX_INTEGER_BITS: Final = 256

ELLIPSIS: Final = "…"

# Control characters (C0, DEL, C1), Unicode line separators, characters that change the text
# direction, and lone surrogates, which cannot be encoded.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def _never(_key: str) -> bool:
    return False


def escaped(text: str) -> str:
    r"""The text with line breaks and terminal control characters escaped: ESC becomes `\x1b`."""
    return _UNSAFE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode()


def shortened(text: str, max_chars: int = MAX_TEXT_CHARS) -> str:
    """The text cut to `max_chars`, with an ellipsis if something was cut."""
    return text if len(text) <= max_chars else text[:max_chars] + ELLIPSIS


def plain(value: object, max_chars: int = MAX_TEXT_CHARS) -> str:
    """A value as readable text: a string shortened and escaped; any other value as in `brief`."""
    if isinstance(value, str):
        return escaped(shortened(value, max_chars))
    return brief(value, max_chars)


def brief(value: object, max_chars: int = MAX_TEXT_CHARS) -> str:
    """The `repr` of a value, shortened; of a container, the `repr` of its `bounded_copy`."""
    if isinstance(value, str):
        return repr(shortened(value, max_chars))
    try:
        text = repr(bounded_copy(value))
    except Exception:  # noqa: BLE001 - __repr__ of any class may raise anything
        text = f"<{type(value).__name__}>"
    return shortened(text, max_chars)


def bounded_copy(
    value: Any, is_hidden: Callable[[str], bool] = _never, placeholder: str = ""
) -> Any:
    """A copy of JSON with at most MAX_LEVELS levels, MAX_VALUES values and MAX_CHARS characters.

    An ellipsis marks what is left out. Values that are not JSON are copied unchanged.

    Args:
        is_hidden: tells for a key whether its value is replaced by the placeholder.
        placeholder: the text that replaces a hidden value.
    """
    return _BoundedCopier(is_hidden, placeholder).copy(value, MAX_LEVELS)


class _BoundedCopier:
    """Makes one copy and counts how much of its limits is left."""

    def __init__(self, is_hidden: Callable[[str], bool], placeholder: str) -> None:
        self._is_hidden = is_hidden
        self._placeholder = placeholder
        self._values_left = MAX_VALUES
        self._chars_left = MAX_CHARS

    def copy(self, value: Any, levels: int) -> Any:
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
        copied: dict[Any, Any] = {}
        for key, inner in value.items():
            if self._is_full:
                copied[ELLIPSIS] = ELLIPSIS
                break
            # The full key decides, not the shortened one.
            is_hidden = isinstance(key, str) and self._is_hidden(key)
            shown = self._text(key) if isinstance(key, str) else key
            copied[shown] = self._placeholder if is_hidden else self.copy(inner, levels - 1)
        return copied

    def _list(self, value: list[Any] | tuple[Any, ...], levels: int) -> list[Any]:
        if value and levels == 0:
            return [ELLIPSIS]
        copied: list[Any] = []
        for inner in value:
            if self._is_full:
                copied.append(ELLIPSIS)
                break
            copied.append(self.copy(inner, levels - 1))
        return copied

    @property
    def _is_full(self) -> bool:
        return self._values_left <= 0 or self._chars_left <= 0

    def _text(self, text: Any) -> Any:
        max_chars = min(MAX_TEXT_CHARS, max(self._chars_left, 0))
        self._chars_left -= len(text)
        if len(text) <= max_chars:
            return text
        return text[:max_chars] + (ELLIPSIS if isinstance(text, str) else ELLIPSIS.encode())


MAX_NESTING: Final = 64
"""How many levels of arrays and objects the task server accepts; real tasks have fewer than ten."""

TOO_DEEP: Final = f"nests arrays and objects more than {MAX_NESTING} levels deep"


_CONTAINERS: Final = (dict, list)


def is_too_deep(value: object, max_levels: int = MAX_NESTING) -> bool:
    """Whether JSON has more than `max_levels` levels of arrays and objects.

    It works level by level and does not recurse, because accepted values are later encoded and
    compared by code that does.

    Args:
        max_levels: 0 allows neither arrays nor objects.
    """
    level: list[object] = [value]
    for _ in range(max_levels + 1):
        containers = [item for item in level if isinstance(item, _CONTAINERS)]
        if not containers:
            return False
        level = [
            inner
            for item in containers
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return True
