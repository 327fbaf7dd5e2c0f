"""What the console does with the commands of this program: the doctor, backups, the configuration.

The commands know the server, and the server does not know them; so whoever starts it passes them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from aiohttp import web

from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.configuration import Configuration


class Finding(Protocol):
    """The result of one check of the doctor; without secrets."""

    @property
    def name(self) -> str:
        """What was checked."""

    @property
    def status(self) -> str:
        """One of ok, warn and fail."""

    @property
    def detail(self) -> str:
        """What was found."""

    @property
    def remedy(self) -> str:
        """What to do; empty if there is nothing to do."""


Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with the step, the bytes that are done, and those of the step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTools:
    """The commands, as the console calls them.

    Attributes:
        load: reads the configuration as at the start; blocking. Raises ConfigError.
        examine: runs the checks of the doctor, and gives each result as soon as it is there.
        back_up: writes a backup to a new file, and returns a phrase about it; blocking. Raises
            PhoenixCompatError.
    """

    load: Callable[[], Configuration]
    examine: Callable[[Configuration], AsyncIterator[Finding]]
    back_up: Callable[[Settings, Path, Progress], str]


OPERATOR_TOOLS: Final = web.AppKey("operator_tools", OperatorTools)
