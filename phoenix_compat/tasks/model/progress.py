"""Computes a task's progress from the prediction's logs, or from the time it has taken.

Many models print tqdm bars, one after another (download, denoise, upscale), separated by newlines
or carriage returns. Those of preparations, such as a download, tell nothing about the run, and
would leave it at 0.95 before it has begun. A task's progress starts at 0.1, ends at 0.95 and never
falls.
"""

from __future__ import annotations

import math
import re

from phoenix_compat.tasks.model.task import PROGRESS_LIMIT, PROGRESS_STARTED

LOG_TAIL_CHARS = 65_536
"""Only this much of the end of the logs is searched for bars."""

# "desc:  40%|████      | 1.2G/9.8G [00:01<…": the bar may be empty, the counts may be floats with
# a unit, and an unknown total is "?". All repeats are bounded so that no text makes this slow.
_BAR = re.compile(
    r"(?P<title>[^|%\r\n]{0,80}?)(?P<percent>\d{1,3})%\s{0,4}\|[^|\r\n]{0,200}\|\s{0,8}"
    r"(?P<done>\d{1,15}(?:\.\d{1,9})?)\s?(?P<unit>[kKMGTi]{0,2}B?)\s?/\s?"
    r"(?P<total>\d{1,15}(?:\.\d{1,9})?)"
)
_PREPARATION = re.compile(
    r"download|fetch|load|extract|unpack|shard|checkpoint|weight|safetensors|compil|warm|tokeniz|"
    r"upload|sav(?:e|ing)",
    re.I,
)


def bar_fraction(logs: str) -> float | None:
    """How full the last bar of the run in the logs is, 0.0 to 1.0; None when there is no bar.

    Bars with fewer than two steps are ignored, and so are bars in bytes or of preparations.
    """
    last = None
    for bar in _BAR.finditer(logs[-LOG_TAIL_CHARS:]):
        is_own = not bar["unit"] and _PREPARATION.search(bar["title"]) is None
        if is_own and float(bar["total"]) >= 2:
            last = bar
    return None if last is None else min(int(last["percent"]) / 100, 1.0)


def time_fraction(elapsed_s: float, expected_s: float) -> float:
    """An estimate of progress from the elapsed time: 1 - e^(-t/τ), below 1.0."""
    return 1.0 - math.exp(-max(elapsed_s, 0.0) / max(expected_s, 0.1))


def next_progress(current: float, fraction: float) -> float:
    """The task's new progress, 0.1 to 0.95; never less than the current one."""
    reached = PROGRESS_STARTED + (PROGRESS_LIMIT - PROGRESS_STARTED) * min(max(fraction, 0.0), 1.0)
    return min(max(current, round(reached, 3)), PROGRESS_LIMIT)
