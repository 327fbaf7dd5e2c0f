"""How long a run waits, and how often it plays a failing case again: strict or patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

TimingName = Literal["strict", "patient"]


@dataclass(frozen=True, slots=True)
class Timing:
    """The limits of a run.

    Attributes:
        name: as on the command line.
        max_factor: time limits grow at most this many times with the machine and the server.
        patience: a failing case is played again alone as often as this has entries, each time with
            all time limits multiplied by the entry; if empty, it is not played again.
        failures_needed: so many of these plays must fail without a doubt.
        replay_limit_s: after so many seconds of playing again, no further case is.
    """

    name: str
    max_factor: float
    patience: tuple[float, ...]
    failures_needed: int
    replay_limit_s: float


STRICT: Final = Timing("strict", 4.0, (1.0, 2.0), 1, 60.0)
"""For CI of a quick server: a failure is reported after seconds, and a slow server is unjudged."""

PATIENT: Final = Timing("patient", 20.0, (1.0, 2.0, 4.0), 2, 300.0)
"""For every server and machine. Cases that pass take as long as with `STRICT`."""

ONCE: Final = Timing("once", 20.0, (), 0, 0.0)
"""No case is played again, for callers that decide themselves."""

TIMINGS: Final[dict[str, Timing]] = {one.name: one for one in (STRICT, PATIENT)}
"""Those of the command line, by name."""
