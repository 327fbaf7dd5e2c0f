"""Settings that have been renamed: their old names still work, with a warning.

To rename a setting, rename the field in `settings` and add its old name to `RENAMED`. Flags,
environment variables and the configuration file then accept both names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

RENAMED: Final[Mapping[str, str]] = {"kinds_file": "task_types_file"}
"""The new name of each renamed setting, by its old name."""


def new_name(name: str) -> str:
    """The present name of a setting that was given by this name."""
    return RENAMED.get(name, name)


def old_names(name: str) -> tuple[str, ...]:
    """The old names of a setting."""
    return tuple(old for old, new in RENAMED.items() if new == name)
