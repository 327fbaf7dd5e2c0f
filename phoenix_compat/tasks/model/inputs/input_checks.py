"""Checks the values of inputs that most models know, by their names. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeGuard

from phoenix_compat.tasks.model.errors import InvalidInputError

MAX_PROMPT_CHARS: Final = 10_000
MAX_TEXT_CHARS: Final = 2_000


def checked_prompt(prompt: object) -> str:
    """The prompt without white space around it.

    Raises:
        InvalidInputError: it is missing, empty, too long, or not a text.
    """
    field = "input_data.prompt"
    if prompt is None:
        raise InvalidInputError(field, "is missing")
    if not isinstance(prompt, str):
        raise InvalidInputError(field, "must be a string")
    text = prompt.strip()
    if not text:
        raise InvalidInputError(field, "must not be empty")
    if len(text) > MAX_PROMPT_CHARS:
        raise InvalidInputError(field, f"must have at most {MAX_PROMPT_CHARS} characters")
    return text


def is_checked(name: str) -> bool:
    """Whether an input of this name has a check."""
    return name in _CHECKS


def checked_input(name: str, value: object) -> object:
    """The value to send: a whole number may be written as 4.0 or 4e0 in JSON.

    Raises:
        InvalidInputError: the value has another type.
    """
    check = _CHECKS.get(name)
    if check is None:
        return value
    if check in {_WHOLE_NUMBER_CHECK, _COUNT_CHECK} and is_whole_float(value):
        value = int(value)
    if not check[0](value):
        raise InvalidInputError(f"input_data.{name}", check[1])
    return value


def is_number(value: object) -> bool:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole_float(value: object) -> TypeGuard[float]:
    """Whether a value is a float that stands for a whole number."""
    return isinstance(value, float) and value.is_integer()


def _is_short_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT_CHARS


def _is_whole_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_count(value: object) -> bool:
    return _is_whole_number(value) and value != 0


def _is_boolean(value: object) -> bool:
    return isinstance(value, bool)


_TEXT_CHECK = (_is_short_text, f"must be a string of 1 to {MAX_TEXT_CHARS} characters")
_WHOLE_NUMBER_CHECK = (_is_whole_number, "must be a whole number and not negative")
_COUNT_CHECK = (_is_count, "must be a whole number greater than 0")
_NUMBER_CHECK = (is_number, "must be a number")
_BOOLEAN_CHECK = (_is_boolean, "must be true or false")

# Only types are checked here; the provider knows the values each model allows.
_CHECKS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "aspect_ratio": _TEXT_CHECK,
    "output_format": _TEXT_CHECK,
    "negative_prompt": _TEXT_CHECK,
    "safety_filter_level": _TEXT_CHECK,
    "seed": _WHOLE_NUMBER_CHECK,
    "num_outputs": _COUNT_CHECK,
    "num_inference_steps": _COUNT_CHECK,
    "width": _COUNT_CHECK,
    "height": _COUNT_CHECK,
    "output_quality": _WHOLE_NUMBER_CHECK,
    "guidance": _NUMBER_CHECK,
    "guidance_scale": _NUMBER_CHECK,
    "prompt_strength": _NUMBER_CHECK,
    "go_fast": _BOOLEAN_CHECK,
}
