"""The mutants that no test can kill, each with the reason, from `explained.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

EXPLAINED: Final = Path(__file__).parent / "explained.toml"


@dataclass(frozen=True)
class Explained:
    """A mutant that behaves as the original does.

    Attributes:
        path: the module's file.
        scope: the function or class, as `Presence.list`; empty at module level.
        original: the code that is replaced.
        replacement: the code instead of it.
        why: why no test can tell them apart.
    """

    path: str
    scope: str
    original: str
    replacement: str
    why: str

    @property
    def names(self) -> tuple[str, str, str, str]:
        """What names the mutant."""
        return (self.path, self.scope, self.original, self.replacement)


def read_explained(path: Path = EXPLAINED) -> list[Explained]:
    """Read the file.

    Raises:
        TypeError: an entry lacks a field, or has one that is not known.
    """
    document = tomllib.loads(path.read_text())
    return [
        Explained(file, scope, **entry)
        for file, scopes in document.items()
        for scope, entries in scopes.items()
        for entry in entries
    ]
