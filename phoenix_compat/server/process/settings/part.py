"""What the parts of `Settings` share: their base, and the error about settings in conflict."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

CONFLICT: Final = "settings_conflict"
"""The type of pydantic's error about such settings. Its context has "settings", their names, and
"text", a template with these names."""


class SettingsPart(BaseModel):
    """A part of `Settings`, which is made of all of them.

    Only the whole needs a validator. One for each part would add a tenth to the start.
    """

    model_config = ConfigDict(defer_build=True)


def conflict(text: str, names: tuple[str, ...]) -> PydanticCustomError:
    """The error about settings that exclude each other, or of which one needs another."""
    context = {"settings": names, "text": text}
    return PydanticCustomError(
        CONFLICT, text.format(**dict(zip(names, names, strict=True))), context
    )
