"""The error about settings that exclude each other, or of which one needs another."""

from __future__ import annotations

from typing import Final

from pydantic_core import PydanticCustomError

CONFLICT: Final = "settings_conflict"
"""The type of pydantic's error about such settings. Its context has "settings", their names, and
"text", a template with these names."""


def conflict(text: str, names: tuple[str, ...]) -> PydanticCustomError:
    """The error about these settings; see CONFLICT."""
    context = {"settings": names, "text": text}
    return PydanticCustomError(
        CONFLICT, text.format(**dict(zip(names, names, strict=True))), context
    )
