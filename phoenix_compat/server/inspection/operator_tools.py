"""What the console does with the commands of this program: the doctor, backups, the configuration.

The commands know the server, and the server does not know them; so whoever starts it passes them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

from phoenix_compat.protocol.message import Ref
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


class Violation(NamedTuple):
    """A frame that breaks a rule of the protocol.

    Attributes:
        number: the number of the frame.
        rule: the id of the rule.
        level: MUST or SHOULD.
        side: client or server: who breaks it.
        text: what was wrong, and what exactly was found.
    """

    number: int
    rule: str
    level: str
    side: str
    text: str


class FrameChecker(Protocol):
    """Checks the frames of one connection against the protocol."""

    def joined(self, topic: str, join_ref: Ref, ref: Ref) -> None:
        """A channel that was joined before the first frame."""

    def take(
        self, number: int, at_s: float, frame: bytes, *, is_client: bool, is_binary: bool
    ) -> None:
        """Take the next frame.

        Args:
            is_client: whether the client has sent it.
        """

    def found(self) -> Sequence[Violation]:
        """The violations since the last call."""


Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with the step, the bytes that are done, and those of the step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTools:
    """The commands, as the console calls them.

    Attributes:
        load: reads the configuration as at the start; blocking. Raises ConfigError.
        examine: runs the checks of the doctor, and gives each result as soon as it is there.
        check_frames: makes a checker for a client with V1 frames (true) or V2 frames (false).
        back_up: writes a backup to a new file, and returns a phrase about it; blocking. Raises
            PhoenixCompatError.
    """

    load: Callable[[], Configuration]
    examine: Callable[[Configuration], AsyncIterator[Finding]]
    back_up: Callable[[Settings, Path, Progress], str]
    check_frames: Callable[[bool], FrameChecker]
