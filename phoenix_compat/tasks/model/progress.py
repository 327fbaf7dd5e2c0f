"""Progress from what a prediction prints, or from the time it has taken.

Models print tqdm bars: cumulative text, one bar after another (download, denoise, upscale), joined
by newlines or carriage returns. The curve made of it starts at 0.1, ends at 0.95 and never falls.
"""

from __future__ import annotations

import math
import re

from phoenix_compat.tasks.model.task import PROGRESS_LIMIT, PROGRESS_STARTED

LOG_TAIL_CHARS = 65_536
"""The last bar is near the end; more text than this is never searched."""

# "desc:  40%|████      | 1.2G/9.8G [00:01<…": the bar may be empty, the counts may be floats with
# a unit, and an unknown total is "?". The numbers are bounded so that no text makes this slow.
_BAR = re.compile(
    r"(?P<percent>\d{1,3})%\s{0,4}\|[^|\r\n]{0,200}\|\s{0,8}"
    r"(?P<done>\d{1,15}(?:\.\d{1,9})?)\s?[kKMGTi]{0,2}B?\s?/\s?(?P<total>\d{1,15}(?:\.\d{1,9})?)"
)


def bar_fraction(logs: str) -> float | None:
    """How full the last bar in the text is, 0.0 to 1.0; None when there is no bar.

    Bars of fewer than two steps say nothing and are passed over.
    """
    last = None
    for bar in _BAR.finditer(logs[-LOG_TAIL_CHARS:]):
        if float(bar["total"]) >= 2:
            last = bar
    return None if last is None else min(int(last["percent"]) / 100, 1.0)


def time_fraction(elapsed_s: float, expected_s: float) -> float:
    """How far a run of unknown length has come by its age: 1 - e^(-t/τ), never quite 1.0."""
    return 1.0 - math.exp(-max(elapsed_s, 0.0) / max(expected_s, 0.1))


def next_progress(current: float, fraction: float) -> float:
    """Where the task stands now: on the curve 0.1 … 0.95, and never below where it stood."""
    reached = PROGRESS_STARTED + (PROGRESS_LIMIT - PROGRESS_STARTED) * min(max(fraction, 0.0), 1.0)
    return min(max(current, round(reached, 3)), PROGRESS_LIMIT)
