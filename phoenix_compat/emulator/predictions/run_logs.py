"""The logs of a run: cumulative text with tqdm progress bars, or what a fault asks for."""

from __future__ import annotations

from functools import lru_cache

from phoenix_compat.emulator.predictions.prediction import Moment, Prediction
from phoenix_compat.emulator.schedule import LogsKind

_HUGE_LOG_BYTES = 5 * 2**20
_BAR_WIDTH = 10

_LINES = {
    LogsKind.LEFT_OUT: "NSFW content detected in image 2\n",
    LogsKind.BLACK: "Potential NSFW content was detected in one or more images. A black image will "
    "be returned instead. Try again with a different prompt and/or seed.\n",
    LogsKind.QUOTE: "Using prompt: {prompt}\n{prompt}\n",
}


def logs_at(prediction: Prediction, moment: Moment) -> str | None:
    """The logs so far. They are empty before the run and for models that log nothing."""
    kind = prediction.schedule.logs
    if kind is LogsKind.NULL:
        return None
    if moment.started_at_s is None:
        return ""
    if kind is LogsKind.HUGE:
        return _huge_log()
    if kind is LogsKind.DOWNLOAD:
        return "Downloading weights: 100%|██████████| 9.8G/9.8G [00:09<00:00, 1.1GB/s]\n"
    if kind in _LINES:
        return _LINES[kind].format(prompt=prediction.prompt)
    steps = prediction.steps
    if not steps and kind is LogsKind.MODEL:
        return ""
    steps = steps or 20
    done = int(moment.fraction * steps + 1e-9)
    bars = [_bar(step, steps, prediction.schedule.run_s) for step in range(done + 1)]
    if kind is LogsKind.CARRIAGE_RETURNS:
        return "\r" + "\r".join(bars)
    lines = [f"Using seed: {_seed(prediction)}", *bars]
    if moment.is_over and moment.has_output:
        count = prediction.model.picture_count(prediction.input)
        lines.append(f"Total safe images: {count} out of {count}")
    return "\n".join(lines) + "\n"


def _bar(step: int, steps: int, run_s: float) -> str:
    percent = 100 * step // steps
    filled = "█" * (_BAR_WIDTH * step // steps)
    elapsed_s = run_s * step / steps
    rate = f"{steps / run_s:5.2f}it/s" if step and run_s else "?it/s"
    times = f"{_clock(elapsed_s)}<{_clock(run_s - elapsed_s) if step else '?'}"
    return f"{percent:3d}%|{filled:<{_BAR_WIDTH}}| {step}/{steps} [{times}, {rate}]"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(min(seconds, 5999)), 60)
    return f"{minutes:02d}:{rest:02d}"


def _seed(prediction: Prediction) -> int:
    seed = prediction.input.get("seed")
    return seed if isinstance(seed, int) else sum(prediction.id.encode()) * 31 % 65_536


@lru_cache(maxsize=1)
def _huge_log() -> str:
    line = "loading weights: a repeated line that fills the log\n"
    return line * (_HUGE_LOG_BYTES // len(line) + 1)
