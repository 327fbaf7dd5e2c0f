"""What was seen of the machine and the server while a case was played."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

QUICK_ANSWER_S: Final = 0.1
"""Up to here the answers of a server are quick; the usual quiet time is 2.5 times as long."""
USUAL_LATENESS_S: Final = 0.05
"""Up to here a late event loop does not matter; the usual quiet time is 5 times as long."""


@dataclass(slots=True)
class Conditions:
    """The worst of both.

    Attributes:
        late_s: how late the event loop woke up because other processes had the processors.
        answer_s: how long the server took to answer a heartbeat on a connection of its own.
    """

    late_s: float = 0.0
    answer_s: float = 0.0

    @property
    def worst_s(self) -> float:
        """The larger of both, in seconds."""
        return max(self.late_s, self.answer_s)

    @property
    def is_calm(self) -> bool:
        """Whether machine and server were as quick as the usual time limits assume."""
        return self.late_s < USUAL_LATENESS_S and self.answer_s < QUICK_ANSWER_S

    def describe(self) -> str:
        """The worse of both, as part of a sentence."""
        if self.late_s >= self.answer_s:
            return f"this machine was so busy that the suite ran up to {self.late_s:.2f} s late"
        return f"the server took up to {self.answer_s:.2f} s to answer a heartbeat"
