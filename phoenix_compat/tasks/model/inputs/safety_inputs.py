"""Inputs that make a model less strict about what it shows. No I/O.

Models have many names for them: switches that turn a checker off (`disable_safety_checker`),
checkers that can be turned off (`enable_safety_checker`), and levels (`safety_tolerance`,
`safety_filter_level`, `moderation`). A value that is the model's own default is not among them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from phoenix_compat.tasks.model.inputs.named_inputs import (
    MAX_NAME_CHARS,
    named_inputs,
    number_in,
    plain,
)

DEFAULT_TOLERANCE: Final = 2
"""Of Flux's `safety_tolerance`, from 0 (strict) to 6."""

_SAFETY: Final = re.compile(
    "safety|unsafe|safe(?:mode|filter|search|check|guard)|nsfw|moderat|censor"
    "|content(?:filter|policy|check)"
)
_CHECKER: Final = re.compile("check|filter|moderat|detect|guard|classif|search|censor|safety$")
_TURNED_OFF: Final = re.compile(
    "^(?:is)?(?:disable|skip|bypass|no|without|ignore|remove|turnoff|allow|permit|unsafe|uncensor)"
    "|disabled?$|off$|unsafe|uncensor"
)
_LEVEL: Final = re.compile(
    "level|tolerance|threshold|strength|strictness|sensitivity|setting|mode|policy"
)
_FALSE: Final = frozenset({"", "0", "false", "no", "off", "none", "null", "f", "n", "disabled"})
_STRICT_LEVELS: Final = frozenset(
    {
        *("auto", "default", "standard", "high", "strict", "strictest", "maximum", "max", "on"),
        *("true", "enabled", "yes"),
        *("blocklowandabove", "blockmediumandabove", "blocksome", "blockmost", "blockall"),
    }
)


def unsafe_input(
    provider_input: Mapping[str, object], defaults: Mapping[str, object]
) -> str | None:
    """The path of an input that makes the model less strict; None if there is none.

    Args:
        defaults: the model's own defaults of such inputs.
    """
    for path, own_name, value in named_inputs(provider_input):
        if value is None or isinstance(value, dict | list):
            continue
        # What is inside "safety_settings" is about safety, whatever it is called.
        name = own_name if is_about_safety(own_name) else plain(path[-MAX_NAME_CHARS:])
        if not is_about_safety(name):
            continue
        if path in defaults and value == defaults[path]:
            continue
        if not _is_strict(name, value):
            return path
    return None


@lru_cache(maxsize=1_024)
def is_about_safety(name: str) -> bool:
    """Whether a plain name is one of an input that checks what a model shows."""
    return _SAFETY.search(name) is not None


def _is_strict(name: str, value: object) -> bool:
    """Whether a value leaves the model as strict as it is by default, or makes it stricter."""
    if "tolerance" in name:
        number = number_in(value)
        return number is not None and number <= DEFAULT_TOLERANCE
    if _TURNED_OFF.search(name) or not (_CHECKER.search(name) or _LEVEL.search(name)):
        return _is_off(value)  # disable_safety_checker, allow_nsfw, nsfw
    if isinstance(value, str) and plain(value) in _STRICT_LEVELS:
        return True
    if _LEVEL.search(name):
        return value is True
    is_switch = isinstance(value, bool) or number_in(value) in {0.0, 1.0}
    return is_switch and not _is_off(value)


def _is_off(value: object) -> bool:
    if value is None or value is False:
        return True
    number = number_in(value)
    if number is not None:
        return number == 0
    return isinstance(value, str) and plain(value.strip()) in _FALSE
