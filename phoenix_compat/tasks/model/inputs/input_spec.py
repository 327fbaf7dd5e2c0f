"""What a task type says about one of its inputs. No I/O.

The type of a value is checked here. Which values a model allows is checked by the provider, because
models of the same task type allow different ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from phoenix_compat.tasks.model.errors import InvalidInputError
from phoenix_compat.tasks.model.inputs.file_inputs import MAX_FILES
from phoenix_compat.tasks.model.inputs.input_checks import (
    MAX_PROMPT_CHARS,
    is_number,
    is_whole_float,
)

InputValue: TypeAlias = str | int | float | bool

_FILE: Final = re.compile("upload:[0-9a-f]{64}$|https?://|data:", re.IGNORECASE)
_FILE_EXPECTED: Final = (
    "the id of a file that was sent with POST /api/files, an https: address or a data: URL"
)


class InputKind(StrEnum):
    """What the value of an input is; the last three are files."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"

    @property
    def is_file(self) -> bool:
        """Whether the value is a file, or says where it is."""
        return self in {InputKind.IMAGE, InputKind.AUDIO, InputKind.VIDEO}


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """An input of a task type.

    Attributes:
        name: its key in `input_data`.
        description: one sentence for people.
        default: what the model gets if the input is missing; None leaves it to the model.
        choices: values that the type's own models know; others are passed on too.
        minimum, maximum: the usual bounds of a number; others are passed on too.
        many: whether it may also be a list; only for files.
    """

    name: str
    kind: InputKind
    description: str = ""
    default: InputValue | None = None
    choices: tuple[InputValue, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    many: bool = False

    def checked(self, value: object) -> object:
        """The value to send: a whole number may be written as 4.0.

        Raises:
            InvalidInputError: the value has another type.
        """
        if self.kind is InputKind.INTEGER and is_whole_float(value):
            value = int(value)
        if (expected := self._expected(value)) is not None:
            raise InvalidInputError(f"input_data.{self.name}", f"must be {expected}")
        return value

    def _expected(self, value: object) -> str | None:
        """What the value must be; None if it is that."""
        match self.kind:
            case InputKind.TEXT:
                is_short = isinstance(value, str) and len(value) <= MAX_PROMPT_CHARS
                return None if is_short else f"a text of at most {MAX_PROMPT_CHARS} characters"
            case InputKind.INTEGER:
                is_integer = isinstance(value, int) and not isinstance(value, bool)
                return None if is_integer else "a whole number"
            case InputKind.NUMBER:
                return None if is_number(value) else "a number"
            case InputKind.BOOLEAN:
                return None if isinstance(value, bool) else "true or false"
            case _:
                return self._expected_file(value)

    def _expected_file(self, value: object) -> str | None:
        if not self.many:
            return None if _is_file(value) else _FILE_EXPECTED
        files = value if isinstance(value, list) else [value]
        if 0 < len(files) <= MAX_FILES and all(map(_is_file, files)):
            return None
        return f"{_FILE_EXPECTED}; or a list of 1 to {MAX_FILES} of these"


def guessed_spec(name: str) -> InputSpec:
    """What an input is likely to be, by its name alone."""
    words = name.lower()
    for kind in (InputKind.AUDIO, InputKind.VIDEO):
        if kind in words:
            return InputSpec(name=name, kind=kind, many=words.endswith("s"))
    if re.search("image|mask|photo|picture|frame", words):
        return InputSpec(name=name, kind=InputKind.IMAGE, many=words.endswith("s"))
    return InputSpec(name=name, kind=InputKind.TEXT)


def _is_file(value: object) -> bool:
    return isinstance(value, str) and _FILE.match(value) is not None
